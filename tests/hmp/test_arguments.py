import pytest

from hmp.arguments import (
    Flag,
    FormatArgument,
    parse_args_type,
)
from hmp.errors import UsageError
from hmp.scanner import Scanner
from tests.hmp.trial import Session


def read(args_type: str, line: str, session: Session) -> dict[str, object]:
    """What a command of this args_type gets from a line."""
    scanner = Scanner(line)
    return {
        argument.keyword: argument.read(scanner, "cmd", session.monitor)
        for argument in parse_args_type(args_type)
    }


@pytest.mark.parametrize(
    ("args_type", "line", "values"),
    [
        ("", "", {}),
        ("name:s", "a", {"name": "a"}),
        ("name:s", '"a b"', {"name": "a b"}),
        ("name:s", "é", {"name": "é"}),
        ("name:s?", "  ", {"name": None}),
        ("name:s?", '""', {"name": ""}),
        ("name:S", '  "a" b  ', {"name": '"a" b  '}),
        ("name:S?", "", {"name": None}),
        ("read-only-mode:s?", "x", {"read_only_mode": "x"}),
        ("index:i", "0xffffffff", {"index": 2**32 - 1}),
        ("index:i?", "", {"index": None}),
        ("val:l", "-1", {"val": -1}),
        ("value:M", "64", {"value": 64 << 20}),
        ("value:M", "0x80000000000", {"value": -(2**63)}),
        ("value:M", "0x100000000001", {"value": 1 << 20}),
        ("size:o", "1.5", {"size": 3 << 19}),
        ("size:o", "1k", {"size": 1024}),
        ("size:o?", "", {"size": None}),
        ("on:b", "on", {"on": True}),
        ("on:b", "off", {"on": False}),
        ("force:-f,device:B", "-f d0", {"force": True, "device": "d0"}),
        ("force:-f,device:B", "d0", {"force": False, "device": "d0"}),
        ("force:-f,device:B", "-fd0", {"force": True, "device": "d0"}),
        ("n:-n,v:-v,d:B?", "-v", {"n": False, "v": True, "d": None}),
        ("n:-n,v:-v,d:B?", "-nv", {"n": True, "v": False, "d": "v"}),
        ("f:F,format:-fs,d:s?", "a -f png b", {"f": "a", "format": "png", "d": "b"}),
        ("f:F,format:-fs,d:s?", "a -fpng", {"f": "a", "format": "png", "d": None}),
        ("f:F,format:-fs,d:s?", "a b", {"f": "a", "format": None, "d": "b"}),
        (
            "reuse:-n,device:B,snapshot-file:s?",
            "-f",
            {
                "reuse": False,
                "device": "-f",
                "snapshot_file": None,
            },
        ),
        ("addr:i,index:i.", "1", {"addr": 1, "index": None}),
        ("addr:i,index:i.", "1.2", {"addr": 1, "index": 2}),
        ("addr:i,index:i.", "1 . 2", {"addr": 1, "index": 2}),
        ("t:T", "3", {"t": 3.0}),
        ("t:T", "1.5ms", {"t": 0.0015}),
        ("t:T?", "", {"t": None}),
        ("device:O", "", {"device": {}}),
        ("device:O", "e1000,id=a", {"device": {"driver": "e1000", "id": "a"}}),
        ("device:O", "x,id=a,p=1,id=b,p=2", {"device": {"driver": "x", "id": "a", "p": "2"}}),
        ("netdev:O", '"user,a=b c"', {"netdev": {"type": "user", "a": "b c"}}),
    ],
)
def test_values(args_type, line, values, ask):
    assert read(args_type, line, ask) == values


@pytest.mark.parametrize(
    ("args_type", "line", "message", "aside"),
    [
        ("name:s", "", "cmd: string expected", ""),
        ("device:B", "", "cmd: block device name expected", ""),
        ("file:F", "", "cmd: filename expected", ""),
        ("name:S", "  ", "cmd: string expected", ""),
        ("name:s", '"open', "cmd: string expected", "unterminated string"),
        ("name:s?", '"a\\q"', "cmd: string expected", "unsupported escape code: '\\q'"),
        ("index:i", "-1", "'cmd' has failed: integer is for 32-bit values", ""),
        ("index:i", "0x100000000", "'cmd' has failed: integer is for 32-bit values", ""),
        ("index:i?", "zz", "invalid char 'z' in expression", ""),
        ("addr:i,index:i.", "1 .", "unexpected end of expression", ""),
        ("value:M", "-1", "enter a positive value", ""),
        ("size:o", "", "invalid size", ""),
        ("size:o", "8E", "invalid size", ""),
        ("on:b", "", "Expected 'on' or 'off'", ""),
        ("on:b", "ON", "Expected 'on' or 'off'", ""),
        ("on:b", '"on"', "Expected 'on' or 'off'", ""),
        ("force:-f,device:B", "-x d0", "cmd: unsupported option -x", ""),
        ("force:-f,device:B", "-é", "cmd: unsupported option -\udcc3", ""),
        ("f:F,format:-fs", "a -f", "cmd: value expected for -f", ""),
        ("fmt:/", "/4q", "invalid char in format: 'q'", ""),
        ("fmt:/", "/\xa0", "invalid char in format: '\udcc2'", ""),
        ("t:T", "x", "Number expected", ""),
        ("t:T", "1xs", "Unknown unit suffix", ""),
        ("device:O", '"open', "", "unterminated string"),
    ],
)
def test_refusals(args_type, line, message, aside, ask):
    with pytest.raises(UsageError) as caught:
        read(args_type, line, ask)
    assert (str(caught.value), caught.value.aside) == (message, aside)


def test_a_dash_that_ends_the_line_leaves_the_message_without_an_end(ask):
    with pytest.raises(UsageError) as caught:
        read("force:-f,device:B", "-", ask)
    assert (str(caught.value), caught.value.line_end) == ("cmd: unsupported option -", "")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("netdev_add user,id=1", "hmp: Parameter 'id' expects an identifier\nIdentifiers consist"),
        ("netdev_add user,id=taken", "hmp: Duplicate ID 'taken' for netdev"),
    ],
)
def test_bad_ids_are_told_on_standard_error(line, complaint, ask):
    assert ask("netdev_add user,id=taken") == ""
    assert ask(line) == 'Try "help netdev_add" for more information\n'
    assert ask.machine.complaints[0].startswith(complaint)


def test_a_hexadecimal_size_with_a_suffix_is_warned_of_on_standard_error(ask):
    read("size:o,rest:S", "0x10M x", ask)
    assert ask.machine.complaints == [
        "hmp: warning: Using a multiplier suffix on hex numbers is deprecated: 0x10M x"
    ]


@pytest.mark.parametrize(
    ("line", "count", "letter", "size"),
    [
        ("", 1, "x", 4),
        ("/", 1, "x", 4),
        ("/4dw", 4, "d", 4),
        ("/bx", 1, "x", 1),
        ("/10xbhg", 10, "x", 8),
        ("/L", 1, "x", 8),
        ("/4294967295", 2**32 - 1, "x", 4),
        ("/4294967297", 2**32 + 1, "x", 4),
        ("/" + "9" * 100, 10**100 - 1, "x", 4),
        ("/i", 1, "i", -1),
        ("/iw", 1, "i", 4),
    ],
)
def test_formats(line, count, letter, size, ask):
    argument = FormatArgument("fmt", "/", "")
    found = argument.read(Scanner(line), "cmd", ask.monitor)
    wrapped = (count + 2**31) % 2**32 - 2**31  # as a C int does
    assert (found.count, found.letter, found.size) == (wrapped, letter, size)


def test_showing_instructions_keeps_the_size_for_later(ask):
    argument = FormatArgument("fmt", "/", "")
    argument.read(Scanner("/h"), "cmd", ask.monitor)
    argument.read(Scanner("/ib"), "cmd", ask.monitor)
    assert argument.read(Scanner(""), "cmd", ask.monitor).size == -1
    assert argument.read(Scanner("/x"), "cmd", ask.monitor).size == 2


def test_an_option_is_unknown_only_if_the_rest_of_the_args_type_does_not_have_it():
    first, second = parse_args_type("a:-a,b:-b")
    assert isinstance(first, Flag)
    assert isinstance(second, Flag)
    assert (first.rest, second.rest) == ("b:-b", "")
