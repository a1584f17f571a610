"""The table of commands, and how their arguments are read."""

import inspect
import json
import re

import pytest

from hmp.qmp.commands import HANDLERS
from hmp.qmp.dispatch import NEGOTIATION
from hmp.qmp.introspection import introspect
from hmp.qmp.json_writer import to_json
from hmp.qmp.schema import schema
from tests.hmp.qmp.conftest import Both
from tests.hmp.qmp.conversation import request
from tests.hmp.qmp.near_misses import NOT_DRAWN, mistakes, requests

AT_ONCE = 500  # requests


def by_use(entities: list[dict]) -> list[dict]:
    """The same, with types numbered and listed as commands and events lead to them.

    QEMU's numbers have gaps, for what only commands of other targets use.
    """
    types = {row["name"]: row for row in entities if row["meta-type"] not in ("command", "event")}
    names: dict[str, str] = {}
    found = [row for row in entities if row["meta-type"] in ("command", "event")]
    for row in found:
        text = json.dumps({**row, "name": ""})
        for name in re.findall(r'"(?:[a-z-]*type)": "([^"]+)"', text):
            if name in types and name not in names:
                names[name] = f"T{len(names)}"
                found.append(types[name])
    text = json.dumps(found)
    return json.loads(
        re.sub(
            r'"((?:[a-z-]*type|name))": "(\[?\d+\]?)"',
            lambda hit: f'"{hit[1]}": "{names[hit[2]]}"',
            text,
        )
    )


def test_the_table_says_what_qemu_says(both: Both):
    theirs, _ = both()
    [answer] = theirs.ask([request("query-qmp-schema")])
    wanted = json.loads(answer)["return"]
    found = introspect(map(schema().entry, schema().names))
    ours, real = by_use(json.loads(to_json(found))), by_use(wanted)
    assert len(real) > 1000
    for row, wanted_row in zip(ours, real, strict=True):
        assert json.dumps(row) == json.dumps(wanted_row)


def test_what_we_have_of_it_can_be_asked_for(both: Both):
    theirs, ours = both()
    lists = []
    for each in (theirs, ours):
        [answer] = each.ask([request("query-commands")])
        lists.append([row["name"] for row in json.loads(answer)["return"]])
    assert lists[1] == [name for name in lists[0] if name in HANDLERS]
    [answer] = ours.ask([request("query-qmp-schema")])
    entities = json.loads(answer)["return"]
    commands = [row["name"] for row in entities if row["meta-type"] == "command"]
    assert sorted(commands) == sorted(HANDLERS)
    known = {row["name"] for row in entities}
    used = {row[key] for row in entities for key in ("arg-type", "ret-type") if key in row}
    assert used <= known


@pytest.mark.parametrize("name", sorted(HANDLERS))
def test_a_handler_takes_what_its_row_declares(name: str):
    assert schema().has_command(name)
    entry = schema().entry(name)
    parameters = list(inspect.signature(HANDLERS[name]).parameters.values())[1:]
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
    named = {each.name: each for each in parameters if each.kind is each.KEYWORD_ONLY}
    if entry.arguments.is_open:
        assert set(named) == {"options"}
        return
    members = {member.name.replace("-", "_"): member for member in entry.arguments.members}
    variants = {
        member.name.replace("-", "_")
        for variant in entry.arguments.variants.values()
        for member in variant.members
    }
    assert set(named) <= set(members) | variants
    if not takes_all:
        assert set(named) == set(members)
    for key, parameter in named.items():
        has_default = parameter.default is not parameter.empty
        assert has_default == members[key].is_optional, key


def test_requests_that_are_almost_right_get_qemus_answers(both: Both):
    commands = sorted(set(HANDLERS) - {NEGOTIATION})
    made = requests(commands, 1000, seed=11)
    answers = [each.ask(made) for each in both()]
    for asked, theirs, ours in zip(made, *answers, strict=True):
        assert ours == theirs, json.dumps(asked)
    assert all('"error"' in line for line in answers[0])


def test_each_command_refuses_each_mistake_in_qemus_words(both: Both):
    """Class and text of the answer to each argument that is missing, unknown or of a wrong kind."""
    made = mistakes(sorted(set(HANDLERS) - {NEGOTIATION}))
    assert {each["execute"] for each in made} >= set(HANDLERS) - NOT_DRAWN
    programs = both()
    for start in range(0, len(made), AT_ONCE):
        asked = made[start : start + AT_ONCE]
        theirs, ours = (each.ask(asked) for each in programs)
        for one, wanted, got in zip(asked, theirs, ours, strict=True):
            assert got == wanted, json.dumps(one)
            assert '"error"' in got
