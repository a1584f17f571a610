"""Lines that are almost right: made from the command table, one mistake in each."""

import random
from collections.abc import Iterator

from hmp.arguments import Argument, Flag
from hmp.command import Command
from hmp.commands import COMMANDS, INFO

GOOD = {
    "s": ["zz", '"a b"'],
    "S": ["zz yy"],
    "B": ["d9"],
    "F": ["f.txt"],
    "i": ["1", "0x10", "(2+3)"],
    "l": ["1", "-1"],
    "M": ["64"],
    "o": ["64k", "1.5"],
    "b": ["on", "off"],
    "O": ["zz,id=a"],
    "/": ["/x", "/4xw"],
}
WRONG = {
    "s": ['"open', '"\\q"', '""'],
    "S": ['"x'],
    "B": ['"open', '"\\q"'],
    "F": ['"open'],
    "i": ["zz", "1/0", "0x100000000", "-1", "(1", "$nosuch", "99999999999999999999", "'", ".5"],
    "l": ["zz", "1%0", "0x10000000000000000", "'a"],
    "M": ["-1", "zz"],
    "o": ["zz", "-1", "1.5b", "8E", "1e3"],
    "b": ["maybe", "ON", "onx"],
    "O": ['"open', "a,id=1", "a,id=b c"],
    "/": ["/q", "/4.", "/-"],
}
EXTRA = ["x", '"y"', "-n", "1", "/x", '"', ")"]
INTRUDERS = ["-x", "-f", "-n", "zz", "1", '"a"b']


def _word(argument: Argument, choose: random.Random, *, wrong: bool = False) -> str:
    if isinstance(argument, Flag):
        dash = f"-{argument.option}"
        if wrong:
            return choose.choice(
                ["-z", "--", "-", dash + argument.option, dash.upper(), f"{dash} {dash}"]
            )
        return choose.choice(["", f"{dash} v" if argument.takes_value else dash])
    word = choose.choice((WRONG if wrong else GOOD)[argument.letter])
    return f".{word}" if argument.kind.endswith(".") else word


def _line(prefix: str, command: Command, choose: random.Random) -> str:
    parameters = command.parameters
    words = [_word(parameter, choose) for parameter in parameters]
    place = choose.randrange(len(words)) if words else 0
    name = prefix + choose.choice(command.names)
    mistake = choose.randrange(7)
    if mistake == 0:
        words = words[:place]
    elif mistake == 1:
        words.append(choose.choice(EXTRA))
    elif mistake == 2 and words:
        words[place] = _word(parameters[place], choose, wrong=True)
    elif mistake == 3 and words:
        words[place:] = [_word(parameters[place], choose, wrong=True)]
    elif mistake == 4:
        words.insert(place, choose.choice(INTRUDERS))
    elif mistake == 5:
        choose.shuffle(words)
        words.append("x")
    else:
        return name + choose.choice(["", " ", "/", "/x", '"'])
    blank = choose.choice([" ", " ", "  ", "/"])
    return name + blank + " ".join(filter(None, words))


def near_misses(seed: int, for_each: int) -> Iterator[str]:
    """So many lines for each command and each topic of info; the same for the same seed."""
    choose = random.Random(seed)
    rows = [("", command) for command in COMMANDS if command.sub_table is None]
    rows += [("info ", topic) for topic in INFO]
    for prefix, command in rows:
        for _ in range(for_each):
            line = _line(prefix, command, choose)
            if not (_is_left_out(line) or _leads_to_root(command, line)):
                yield line


def _is_left_out(line: str) -> bool:
    """Whether a line is `quit`, or no fair comparison: some make QEMU 7.2 crash or wait.

    `usbhost` it knows once something has loaded that module; a debugger's port is the host's.
    """
    outside = ("info stats", "info usbhost", "calc_dirty")
    return line.split() in (["quit"], ["q"], ["gdbserver"]) or line.startswith(outside)


def _leads_to_root(command: Command, line: str) -> bool:
    """Whether it names a file in the root folder, where the real program may well make one."""
    takes_file = any(parameter.letter == "F" for parameter in command.parameters)
    return takes_file and any(f"{name}/" in line for name in command.names)
