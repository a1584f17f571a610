import pytest

from hmp.scanner import Scanner
from hmp.size import read_size

MIB = 1 << 20


def read(text: str, suffix: str = "M") -> tuple[int, str] | None:
    """The bytes and what is left of the text."""
    scanner = Scanner(text)
    size = read_size(scanner, suffix)
    return None if size is None else (size.value, scanner.text[scanner.position :])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", MIB),
        ("0", 0),
        ("+1", MIB),
        ("010", 10 * MIB),
        ("1.5", 3 * MIB // 2),
        ("1.", MIB),
        ("1.k", 1024),
        ("0.5k", 512),
        ("1B", 1),
        ("1b", 1),
        ("1.0b", 1),
        ("2K", 2048),
        ("3g", 3 << 30),
        ("1T", 1 << 40),
        ("1P", 1 << 50),
        ("1e", 1 << 60),
        ("1.5e", 3 << 59),
        ("0x10", 16 * MIB),
        ("0X10k", 16 << 10),
        ("0x1e", 30 * MIB),
        ("15.99999999999999999999999E", 15 << 60),
        ("18446744073709551615b", 2**64 - 1),
        ("0.0000001", 0),
        ("0.0000005", 1),
    ],
)
def test_sizes(text, value):
    assert read(text) == (value, "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zz",
        "-1",
        ".5",
        "1.5b",
        "1.5e3",
        "1.5E+3",
        "0x1.5",
        "inf",
        "nan",
        "+ 1",
        "16E",
        "18446744073709551616b",
        "9" * 5000,
    ],
)
def test_no_sizes(text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("1kb", "b"),
        ("1..5", ".5"),
        ("1.5.5", ".5"),
        ("1e3", "3"),
        ("1.5e+", "+"),
        ("0x", "x"),
        ("00x1", "x1"),
        ("1_0", "_0"),
        ("1 .5", " .5"),
        ("0xg", "xg"),
        ("1My", "y"),
    ],
)
def test_what_does_not_belong_is_left(text, rest):
    found = read(text)
    assert found is not None
    assert found[1] == rest


def test_the_unit_of_a_bare_number_is_the_callers():
    assert read("3", "b") == (3, "")
    assert read("3", "K") == (3072, "")


@pytest.mark.parametrize(("text", "is_so"), [("0x1k", True), ("0x1", False), ("1k", False)])
def test_a_hexadecimal_number_with_a_suffix_is_told_apart(text, is_so):
    size = read_size(Scanner(text), "M")
    assert size is not None
    assert size.is_scaled_hexadecimal is is_so
