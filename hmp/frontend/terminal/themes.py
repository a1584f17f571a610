"""Colours: names of what is shown, and how each theme shows it.

Only the sixteen colours that every terminal has, which people have set to what they can read.
"""

from __future__ import annotations

import os

from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import BaseStyle, Style

from hmp.settings import Settings

# What is shown -> how, on a dark ground and on a light one.
_COLOURS: dict[str, tuple[str, str]] = {
    "prompt": ("ansibrightcyan bold", "ansiblue bold"),
    "greeting": ("bold", "bold"),
    "note": ("ansibrightblack", "ansibrightblack"),
    "event": ("ansiyellow", "ansimagenta"),
    "fault": ("ansibrightred underline", "ansired underline"),
    # the line
    "pygments.name.function": ("ansibrightcyan", "ansiblue"),
    "pygments.name.class": ("ansibrightgreen", "ansigreen"),
    "pygments.name.attribute": ("ansibrightyellow", "ansimagenta"),
    "pygments.name.decorator": ("ansibrightmagenta", "ansimagenta"),
    "pygments.name.constant": ("ansibrightgreen", "ansigreen"),
    "pygments.keyword": ("ansibrightmagenta", "ansimagenta"),
    "pygments.literal.number": ("ansibrightmagenta", "ansimagenta"),
    "pygments.literal.string": ("ansibrightyellow", "ansigreen"),
    "pygments.comment": ("ansibrightblack", "ansibrightblack"),
    # answers
    "answer.error": ("ansibrightred", "ansired"),
    "answer.hint": ("ansibrightblack", "ansibrightblack"),
    "answer.heading": ("bold", "bold"),
    "answer.name": ("ansibrightcyan", "ansiblue"),
    "answer.label": ("ansibrightblack", "ansibrightblack"),
    "answer.number": ("ansibrightmagenta", "ansimagenta"),
    "answer.date": ("ansigreen", "ansigreen"),
    "answer.file": ("ansibrightyellow", "ansigreen"),
    "answer.good": ("ansibrightgreen bold", "ansigreen bold"),
    "answer.stopped": ("ansibrightyellow bold", "ansimagenta bold"),
    # whose a cluster is
    "map.table": ("ansibrightcyan", "ansicyan"),
    "map.now": ("ansibrightgreen", "ansigreen"),
    "map.shared": ("ansibrightyellow", "ansimagenta"),
    "map.snapshots": ("ansibrightblue", "ansiblue"),
    "map.state": ("ansibrightmagenta", "ansired"),
    "map.leaked": ("ansibrightred reverse", "ansired reverse"),
    "map.free": ("ansibrightblack", "ansibrightblack"),
    # the bar; each part brings its own ground
    "bottom-toolbar": (
        "noreverse bg:ansibrightblack ansiwhite",
        "noreverse bg:ansigray ansiblack",
    ),
    "bar.running": ("bg:ansigreen ansiblack bold", "bg:ansigreen ansiblack bold"),
    "bar.stopped": ("bg:ansiyellow ansiblack bold", "bg:ansiyellow ansiblack bold"),
    "bar.changed": ("ansibrightyellow", "ansimagenta"),
    "bar.job": ("bg:ansicyan ansiblack", "bg:ansicyan ansiblack"),
    # progress
    "progress.done": ("ansibrightgreen", "ansigreen"),
    "progress.left": ("ansibrightblack", "ansibrightblack"),
    # the menu
    "completion-menu": ("bg:ansibrightblack ansiwhite", "bg:ansigray ansiblack"),
    "completion-menu.completion.current": (
        "noreverse bg:ansicyan ansiblack bold",
        "noreverse bg:ansiblue ansiwhite bold",
    ),
    "completion-menu.meta.completion": ("bg:ansiblack ansigray", "bg:ansiwhite ansiblack"),
    "completion-menu.meta.completion.current": (
        "bg:ansicyan ansiblack",
        "bg:ansiblue ansiwhite",
    ),
    "scrollbar.background": ("bg:ansiblack", "bg:ansiwhite"),
    "scrollbar.button": ("bg:ansiwhite", "bg:ansibrightblack"),
    "auto-suggestion": ("ansibrightblack", "ansibrightblack"),
    "pager.bar": ("reverse", "reverse"),
}
# Without colours there are still weight, lines and reverse video.
_MONO: dict[str, str] = {
    "prompt": "bold",
    "greeting": "bold",
    "auto-suggestion": "italic",
    "fault": "underline",
    "event": "italic",
    "pygments.name.function": "bold",
    "answer.error": "bold",
    "answer.heading": "underline",
    "answer.name": "bold",
    "answer.good": "bold",
    "answer.stopped": "bold",
    "map.shared": "underline",
    "map.state": "bold",
    "map.leaked": "reverse",
    "bottom-toolbar": "noreverse",
    "bar.running": "reverse bold",
    "bar.stopped": "reverse bold",
    "bar.changed": "bold",
    "bar.job": "underline",
    "completion-menu": "noreverse",
    "completion-menu.completion.current": "reverse bold",
    "completion-menu.meta.completion.current": "reverse",
    "pager.bar": "reverse",
}


class Theme:
    """How everything looks.

    Attributes:
        name: dark, light or mono.
        style: what prompt_toolkit wants of it.
        depth: how many colours may be used; None for what the terminal has.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.depth = ColorDepth.DEPTH_1_BIT if name == "mono" else None
        if name == "mono":
            rules = _MONO
        else:
            rules = {part: looks[name == "light"] for part, looks in _COLOURS.items()}
        self.style: BaseStyle = Style.from_dict(rules)


def choose_theme(settings: Settings) -> Theme:
    """The theme that is set; where it is to be found out, from the variables people know."""
    if os.environ.get("NO_COLOR"):
        return Theme("mono")
    name = str(settings["theme"])
    if name == "auto":
        name = "light" if _ground() in ("7", "15") else "dark"
    return Theme(name)


def _ground() -> str:
    """The ground's colour, as terminals say it that say it."""
    return os.environ.get("COLORFGBG", "").rpartition(";")[2]
