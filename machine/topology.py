"""How many processors a machine has, and how they are grouped: sockets, dies, cores, threads."""

from __future__ import annotations

from blockdev.errors import QemuError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from machine.boards import Board

_NAMES = ("cpus", "sockets", "dies", "clusters", "cores", "threads", "maxcpus")
HELP = ("smp-opts options:", *(f"  {name}=<num>" for name in sorted(_NAMES)))
_MOST = 1 << 63
_APIC_IDS = 255  # as many as an APIC without extensions can name


class Topology:
    """The processors of a machine.

    Attributes:
        cpus: how many there are from the start.
        max_cpus: how many there can be.
        sockets, dies, cores, threads: sockets of the machine, dies of a socket, and so on.
        warnings: what is said of odd numbers.
    """

    __slots__ = ("cores", "cpus", "dies", "max_cpus", "sockets", "threads", "warnings")

    def __init__(self, board: Board, options: Mapping[str, str]) -> None:
        """Work out what isn't given.

        Args:
            board: the machine type.
            options: numbers by name, as texts.

        Raises:
            QemuError: there is no such name, or the numbers can't be.
        """
        numbers = _numbers(options)
        self.warnings = []
        if 0 in numbers.values():
            self.warnings.append(
                "warning: Deprecated CPU topology (considered invalid): "
                "CPU topology parameters must be greater than zero"
            )
        has_dies = board.properties == "pc"
        for name, is_known in (("dies", has_dies), ("clusters", False)):
            if numbers.get(name, 1) > 1 and not is_known:
                raise QemuError(f"{name} not supported by this machine's CPU topology")
        self.cpus = numbers.get("cpus", 0)
        self.max_cpus = numbers.get("maxcpus", 0)
        self.sockets = numbers.get("sockets", 0)
        self.dies = numbers.get("dies", 1) or 1
        self.cores = numbers.get("cores", 0)
        self.threads = numbers.get("threads", 0)
        self._complete(prefers_sockets=board.prefers_sockets)
        self._check(board, with_dies=has_dies)

    def _complete(self, *, prefers_sockets: bool) -> None:
        if not self.cpus and not self.max_cpus:
            self.sockets = self.sockets or 1
            self.cores = self.cores or 1
            self.threads = self.threads or 1
        else:
            self.max_cpus = self.max_cpus or self.cpus
            if prefers_sockets and not self.sockets:
                self.cores, self.threads = self.cores or 1, self.threads or 1
                self.sockets = self.max_cpus // (self.dies * self.cores * self.threads)
            elif not self.cores:
                self.sockets, self.threads = self.sockets or 1, self.threads or 1
                self.cores = self.max_cpus // (self.sockets * self.dies * self.threads)
            elif not self.sockets:
                self.threads = self.threads or 1
                self.sockets = self.max_cpus // (self.dies * self.cores * self.threads)
            if not self.threads:
                self.threads = self.max_cpus // (self.sockets * self.dies * self.cores)
        self.max_cpus = self.max_cpus or self._product
        self.cpus = self.cpus or self.max_cpus

    @property
    def _product(self) -> int:
        return self.sockets * self.dies * self.cores * self.threads

    def _check(self, board: Board, *, with_dies: bool) -> None:
        dies = f" * dies ({self.dies})" if with_dies else ""
        shown = f"sockets ({self.sockets}){dies} * cores ({self.cores}) * threads ({self.threads})"
        if self._product != self.max_cpus:
            raise QemuError(
                "Invalid CPU topology: product of the hierarchy must match maxcpus: "
                f"{shown} != maxcpus ({self.max_cpus})"
            )
        if self.max_cpus < self.cpus:
            raise QemuError(
                "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
                f"{shown} == maxcpus ({self.max_cpus}) < smp_cpus ({self.cpus})"
            )
        if self.max_cpus > board.max_cpus:
            shown = str(self.max_cpus - (self.max_cpus >> 31 << 32))  # as a number with a sign
            raise QemuError(
                f"Invalid SMP CPUs {shown}. The max CPUs supported by machine "
                f"'{board.name}' is {board.max_cpus}"
            )

    def check_apics(self) -> None:
        """Raises: QemuError: the processors are more than APICs can tell apart."""
        last = list(self.places())[-1]
        if self.apic_id(last) >= _APIC_IDS:
            raise QemuError(
                "current -smp configuration requires kernel irqchip and X2APIC API support."
            )

    def apic_id(self, place: Mapping[str, int]) -> int:
        """The number of a place's APIC: each id in as many bits as the largest of its kind."""
        number = place["socket-id"]
        for name, count in (("die", self.dies), ("core", self.cores), ("thread", self.threads)):
            number = number << (count - 1).bit_length() | place.get(f"{name}-id", 0)
        return number

    def find(self, place: Mapping[str, int]) -> tuple[int, int]:
        """A processor's index and the number of its APIC."""
        wanted = self.apic_id(place)
        numbers = [self.apic_id(each) for each in self.places()]
        return numbers.index(wanted), wanted

    def places(self) -> Iterator[dict[str, int]]:
        """Where each processor is or can be, in the order of their numbers."""
        for index in range(self.max_cpus):
            rest, thread = divmod(index, self.threads)
            rest, core = divmod(rest, self.cores)
            socket, die = divmod(rest, self.dies)
            place = {"socket-id": socket}
            if self.dies > 1:
                place["die-id"] = die
            yield {**place, "core-id": core, "thread-id": thread}


def _numbers(options: Mapping[str, str]) -> dict[str, int]:
    from machine.schema import read_integer

    found = {}
    for name, text in options.items():
        if name not in _NAMES:
            raise QemuError(f"Parameter 'smp.{name}' is unexpected")
        number = read_integer(text)
        if number is None or not -_MOST <= number < _MOST:
            raise QemuError(f"Parameter 'smp.{name}' expects integer")
        found[name] = number & 0xFFFFFFFF
    return found
