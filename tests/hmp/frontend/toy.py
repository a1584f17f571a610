"""A program with a monitor that knows a handful of commands: the front end's test bench.

Takes the few options of QEMU's that the records of the line editor use.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
sys.path.insert(0, ROOT)

from hmp.frontend.descriptors import fill_gaps  # noqa: E402 - the path has to be there first
from hmp.frontend.plain import PlainFrontend  # noqa: E402
from hmp.frontend.signals import SignalWatch  # noqa: E402
from machine.chardev.device import open_chardev  # noqa: E402
from machine.chardev.options import parse_legacy  # noqa: E402
from machine.loop import MainLoop, Wakeup  # noqa: E402

SILENT = {"", "cont", "stop", "savevm", "loadvm", "screendump", "eject", "sendkey", "change", "x"}
INFO_TOPICS = ("block", "block-jobs", "blockstats", "history", "name", "stats", "status")


def read_commands():
    names = []
    with open(f"{ROOT}/tests/oracle/commands.tsv") as table:
        for row in table:
            kind, name, aliases, *_ = row.split("\t")
            if kind == "command":
                names += [name, *aliases.split("|")]
    return sorted(set(filter(None, names)))


class ToyMachine:
    def __init__(self, program="toy", name="vm1"):
        self.program = program
        self.name = name
        self.loop = MainLoop()
        self.shutdown_requested = False
        self.drives = []

    def request_shutdown(self, status=0, reason=""):
        self.shutdown_requested = True


class ToyCompletion:
    def __init__(self, words=(), typed="", complaint=""):
        self.candidates = [word for word in words if word.startswith(typed)]
        self.typed_size = len(typed.encode("utf-8", "surrogateescape"))
        self.complaint = complaint


def awake():
    wakeup = Wakeup()
    wakeup.wake()
    return wakeup


class ToyMonitor:
    def __init__(self, machine, write):
        self.machine = machine
        self.print = write
        self.history = ()
        self.aside = write
        self.front_end = None

    def execute(self, line):
        words = line.split(" ")
        name = line.lstrip(" ").partition(" ")[0]
        match words:
            case ["quit" | "q"]:
                self.machine.request_shutdown()
            case ["info", "name"]:
                self.print(f"{self.machine.name}\n")
            case ["info", "status"]:
                self.print("VM status: paused (prelaunch)\n")
            case ["info", "history"]:
                for index, entry in enumerate(self.history):
                    self.print(f"{index}: '{entry}'\n")
            case ["count" | "wait" as how, number]:
                for index in range(int(number)):
                    self.print(f"{index}\n")
                    yield (index, int(number)) if how == "count" else awake()
            case ["work", number]:
                for index in range(int(number)):
                    yield index, int(number)
                self.print("done\n")
            case ["flood", size]:
                self.print("x" * int(size) + "\n")
            case ["change", "vnc", "password"]:
                self.front_end.read_password(lambda _: None)
            case _ if name not in SILENT:
                typed = line[: len(line) - len(line.lstrip(" ")) + len(name)]
                self.print(f"unknown command: '{typed}'\n")

    def completion(self, line):
        if line.count('"') % 2:
            return ToyCompletion(complaint="unterminated string")
        command, _, rest = line.lstrip(" ").partition(" ")
        word = rest.rpartition(" ")[2]
        if " " not in line.lstrip(" "):
            return ToyCompletion(read_commands(), command)
        if command == "info":
            return ToyCompletion(INFO_TOPICS, word)
        if command == "help":
            return ToyCompletion(read_commands(), word)
        if command == "eject":
            return ToyCompletion(self.machine.drives, word)
        if command == "sendkey":
            return ToyCompletion(["ctrl", "ctrl_r", "a"], word)
        if command == "screendump":
            folder, slash, _ = word.rpartition("/")
            names = (entry.name + "/" * entry.is_dir() for entry in os.scandir(folder or "."))
            return ToyCompletion([folder + slash + name for name in names], word)
        return ToyCompletion()


def main(arguments):
    fill_gaps()
    machine = ToyMachine()
    words = []
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option == "-monitor":
            words.append(value)
        elif option == "-name":
            machine.name = value
        elif option == "-drive":
            machine.drives += [p[3:] for p in value.split(",") if p.startswith("id=")]

    def report(text):
        print(f"toy: {text}", file=sys.stderr, flush=True)

    devices = []
    for number, word in enumerate(words):
        options = parse_legacy(word, f"compat_monitor{number}", report)
        devices.append(open_chardev(options, machine.loop, report, print))
    watch = SignalWatch(machine)
    for device in devices:
        if hasattr(device, "return_to_foreground"):
            watch.on_continue(device.return_to_foreground)
        front_end = PlainFrontend(machine, ToyMonitor, device)
        front_end.monitor.front_end = front_end
    try:
        machine.loop.run_until(lambda: machine.shutdown_requested)
    finally:
        for device in devices:
            device.drain(0 if watch.received else 2 * 10**9)
            device.close()


if __name__ == "__main__":
    main(sys.argv[1:])
