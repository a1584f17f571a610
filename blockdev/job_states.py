"""The states of a job, which may follow which, and which words a job takes in each."""

from __future__ import annotations

UNDEFINED = "undefined"
CREATED = "created"
RUNNING = "running"
PAUSED = "paused"
READY = "ready"
STANDBY = "standby"
WAITING = "waiting"
PENDING = "pending"
ABORTING = "aborting"
CONCLUDED = "concluded"
NULL = "null"

TRANSITIONS = {
    UNDEFINED: {CREATED},
    CREATED: {RUNNING, ABORTING, NULL},
    RUNNING: {PAUSED, READY, WAITING, ABORTING},
    PAUSED: {RUNNING},
    READY: {STANDBY, WAITING, ABORTING},
    STANDBY: {READY},
    WAITING: {PENDING, ABORTING},
    PENDING: {ABORTING, CONCLUDED},
    ABORTING: {ABORTING, CONCLUDED},
    CONCLUDED: {NULL},
    NULL: set(),
}
_UNDER_WAY = {CREATED, RUNNING, PAUSED, READY, STANDBY}
# In which states a job takes which word.
VERBS = {
    "cancel": _UNDER_WAY | {WAITING, PENDING},
    "pause": _UNDER_WAY,
    "resume": _UNDER_WAY,
    "set-speed": _UNDER_WAY,
    "complete": {READY, STANDBY},
    "finalize": {PENDING},
    "dismiss": {CONCLUDED},
}
