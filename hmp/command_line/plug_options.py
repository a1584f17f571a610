"""What is plugged into the machine: objects, network, devices.

QEMU checks the options while it takes the command line apart, makes back ends before its monitor
greets, and devices after that.
"""

from __future__ import annotations

import os

from blockdev.errors import QemuError
from hmp.command_line.option_family import OptionFamily
from hmp.command_line.option_list import parse_options
from hmp.command_line.option_values import Blame, HelpAnswer, about, from_json
from hmp.command_line.options import Option
from machine.assembly import plug_board_drives, plug_virtio_drives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from machine.machine import Machine
    from machine.qom.object_type import ObjectType

_HELP_WORDS = ("help", "?")
_NESTED_NETDEVS = ("dgram", "stream")  # whose options have parts
# What needs other back ends, and so is made after them.
_LATE_OBJECTS = ("filter-", "memory-backend-", "rng-egd", "colo-compare", "cryptodev-vhost-user")
# Those of which only two are simulated.
_VGA_KINDS = ("none", "std", "cirrus", "vmware", "qxl", "virtio")
_VGA_MODELS: dict[str | None, str] = {"std": "VGA", "cirrus": "cirrus-vga"}
_LISTS_OF_NETDEVS = frozenset(("dnssearch", "guestfwd", "hostfwd"))
_NIC_KEYS = ("model", "mac", "macaddr", "addr", "vectors")
_NIC_MODELS = (
    "e1000 e1000-82544gc e1000-82545em e1000e i82550 i82551 i82557a i82557b i82557c i82558a "
    "i82558b i82559a i82559b i82559c i82559er i82562 i82801 ne2k_pci pcnet pvrdma rtl8139 tulip "
    "virtio-net-pci virtio-net-pci-non-transitional virtio-net-pci-transitional vmxnet3"
).split()


class Nic:
    """A network card of the board that ``-nic`` or ``-net nic`` asks for.

    Attributes:
        netdev: what it is plugged into; "" for nothing.
        mac: empty for the next free address.
        vectors: interrupts by messages; empty for the model's own number.
        name: in a warning.
    """

    __slots__ = ("mac", "model", "name", "netdev", "vectors")

    def __init__(self, options: Mapping[str, str], netdev: str, name: str) -> None:
        self.model = options.get("model", "")
        self.mac = options.get("mac", options.get("macaddr", ""))
        self.netdev = netdev
        self.vectors = options.get("vectors", "" if options["type"] == "nic" else "0")
        self.name = name


class PlugOptions(OptionFamily):
    """The options of one command line, in order.

    Args:
        program: what begins a message on stderr.
        complain: takes a line for stderr.
        tell: takes a line for stdout.

    Attributes:
        device_options: of each ``-device``, with its text.
    """

    def __init__(
        self, program: str, complain: Callable[[str], object], tell: Callable[[str], object]
    ) -> None:
        super().__init__(program, complain)
        self._tell = tell
        self.device_options: list[tuple[dict[str, str], str]] = []
        self._objects: list[tuple[ObjectType, str, dict[str, Any]]] = []
        self._netdevs: list[tuple[dict[str, Any], str]] = []
        self._nic_options: list[tuple[dict[str, str], str]] = []
        self._net_options: list[tuple[dict[str, str], str]] = []
        self._nics: list[Nic] = []
        self._vga: str | None = None
        self._has_net = False
        self._names_made = 0
        self.takers: dict[str, Callable[[Option], None]] = {
            "device": self._take_device,
            "net": self._take_net,
            "netdev": self._take_netdev,
            "nic": self._take_nic,
            "object": self._take_object,
            "vga": self._take_vga,
        }

    # --- options, one by one

    def _take_device(self, option: Option) -> None:
        is_json = option.value.startswith("{")
        options = from_json(option) if is_json else self._read(option, "driver")
        self._check_for_help(option, options)
        id = options.get("id")
        if id and any(other.get("id") == id for other, _ in self.device_options):
            raise about(option, QemuError(f"Duplicate ID '{id}' for device"))
        if "driver" not in options:
            raise about(option, QemuError("Parameter 'driver' is missing"))
        self.device_options.append((options, option.text))

    def _check_for_help(self, option: Option, options: Mapping[str, str]) -> None:
        """Raises: HelpAnswer: the models, or the properties of one, are asked for."""
        driver = options.get("driver", "")
        if driver in _HELP_WORDS:
            from machine.devices.models import listing

            raise HelpAnswer("\n".join(listing(only_for_users=True)))
        if driver and any(word in options for word in _HELP_WORDS):
            from machine.devices.properties import describe

            try:
                lines = describe(driver)
            except QemuError as error:  # QEMU takes it for an answer too
                self._warn(f"{option.text}: {error}")
                raise HelpAnswer("") from error
            raise HelpAnswer("\n".join(lines))

    def _take_object(self, option: Option) -> None:
        from hmp.qmp.json_parser import parse_object
        from machine.qom.objects import Objects
        from machine.qom.types import TYPES
        from machine.schema import JSON, OPTIONS

        if option.value in _HELP_WORDS:
            lines = Objects.describe_types()
            raise HelpAnswer("\n".join(["List of user creatable objects:", *lines]))
        kind, _, rest = option.value.partition(",")
        if kind in TYPES and set(rest.split(",")) & set(_HELP_WORDS):
            lines = Objects.describe_type(kind)
            head = f"{kind} options:" if lines else f"There are no options for {kind}."
            raise HelpAnswer("\n".join([head, *lines]))
        with Blame(option.text):
            if option.value.startswith("{"):
                made = Objects.read(parse_object(option.value), JSON)
            else:
                made = Objects.read(self._options_unblamed(option, "qom-type"), OPTIONS)
            if any(other[1] == made[1] for other in self._objects):
                raise QemuError(f"Duplicate ID '{made[1]}' for object")
        self._objects.append(made)

    def _options_unblamed(self, option: Option, first: str) -> dict[str, str]:
        """`_read` for use inside a `Blame` of the same option."""
        bare = Option(option.name, option.value, option.text)
        try:
            return self._read(bare, first)
        except QemuError as error:
            raise QemuError(str(error).removeprefix(f"{option.text}: ")) from error

    def _take_vga(self, option: Option) -> None:
        if option.value not in _VGA_KINDS:
            raise QemuError(f"unknown vga type: {option.value}")
        self._vga = option.value

    def _take_netdev(self, option: Option) -> None:
        from hmp.qmp.json_parser import parse_object
        from machine.keyval import parse_keyval
        from machine.net.options import HELP, check_netdev
        from machine.schema import JSON, KEYVAL

        self._has_net = True
        if option.value in _HELP_WORDS:
            raise HelpAnswer("\n".join(["Available netdev backend types:", *HELP]))
        is_json = option.value.startswith("{")
        options: dict[str, Any] = {}
        with Blame(option.text):
            if is_json:
                options = parse_object(option.value)
            elif option.value.partition(",")[0] in _NESTED_NETDEVS:
                options = parse_keyval(option.value, "type")
        if options.get("type") not in _NESTED_NETDEVS:
            options.update(from_json(option) if is_json else self._read(option, "type"))
            if not is_json:
                # All values of these count, not only the last.
                pairs = parse_options(option.value, "type", lambda _: None)
                for name in _LISTS_OF_NETDEVS.intersection(options):
                    options[name] = [value for key, value in pairs if key == name]
        with Blame(option.text):
            if options.get("type") in _NESTED_NETDEVS:
                from machine.net.stream import read_options

                options = read_options(options, JSON if is_json else KEYVAL)
            else:
                check_netdev(options)
            if any(other["id"] == options["id"] for other, _ in self._netdevs):
                raise QemuError(f"Duplicate ID '{options['id']}' for netdev")
        self._netdevs.append((options, option.text))

    def _take_nic(self, option: Option) -> None:
        self._has_net = True
        if option.value == "none":
            return
        options = self._read(option, "type")
        if "type" not in options:
            options["type"] = "user"
        if options.get("model") in _HELP_WORDS:
            raise HelpAnswer("\n".join(["Supported NIC models:", *_NIC_MODELS]))
        self._nic_options.append((options, option.text))

    def _take_net(self, option: Option) -> None:
        self._has_net = True
        options = self._read(option, "type")
        if options.get("type") != "none":
            self._net_options.append((options, option.text))

    # --- back ends, before the monitor greets

    def make_objects(self, machine: Machine) -> None:
        """Objects that need nothing.

        Raises:
            QemuError: one can't be made.
        """
        for type, id, values in self._objects:
            if not type.name.startswith(_LATE_OBJECTS):
                machine.objects.create(type, id, values)

    def connect_network(self, machine: Machine, *, has_defaults: bool) -> None:
        """The network, and the objects that look at it.

        Raises:
            QemuError: a back end can't be made.
        """
        from machine.net.options import add_netdev

        for options, text in self._netdevs:
            with Blame(text):
                if options["type"] in _NESTED_NETDEVS:
                    from machine.net.stream import make

                    make(machine, options, _numbered)
                else:
                    add_netdev(machine, options)
        for options, text in self._nic_options:
            with Blame(text):
                self._add_nic(machine, options)
        if has_defaults and not self._has_net:
            self._net_options = [({"type": "nic"}, ""), ({"type": "user"}, "")]
        for options, text in self._net_options:
            with Blame(text):
                self._add_to_hub(machine, options)
        for type, id, values in self._objects:
            if type.name.startswith(_LATE_OBJECTS):
                machine.objects.create(type, id, values)

    def _add_nic(self, machine: Machine, options: dict[str, str]) -> None:
        """A back end, and a card that is plugged into it."""
        from machine.net.options import add_netdev

        _check_mac(options)
        back_end = {key: value for key, value in options.items() if key not in _NIC_KEYS}
        back_end.setdefault("id", self._next_name())
        add_netdev(machine, back_end)
        self._nics.append(Nic(options, back_end["id"], "anonymous"))

    def _add_to_hub(self, machine: Machine, options: dict[str, str]) -> None:
        """A card, or a back end, on the first hub: what ``-net`` means."""
        from machine.net.hub import add_port
        from machine.net.options import add_netdev, check_netdev

        name = options.get("id") or self._next_name()
        named = {**options, "id": name}
        check_netdev(named)
        if options["type"] != "nic":
            peer = add_netdev(machine, named)
            add_port(machine.network, 0, "", peer)
            return
        _check_mac(options)
        netdev = options.get("netdev", "")
        if not netdev:
            netdev = add_port(machine.network, 0, "", None).name
        elif machine.network.find_netdev(netdev) is None:
            raise QemuError(f"netdev '{netdev}' not found")
        self._nics.append(Nic(options, netdev, name))

    def _next_name(self) -> str:
        """A name for a back end that nobody named, as QEMU makes them: a number, two digits."""
        self._names_made += 1
        return f"#net{self._names_made - 1}{os.urandom(1)[0] % 100:02}"

    # --- devices, after it

    def plug(self, machine: Machine, *, has_defaults: bool) -> None:
        """Network cards of the board, and the user's devices.

        Raises:
            QemuError: one doesn't fit.
        """
        for made in machine.objects if machine.has_objects else ():
            made.is_first = True
        self._plug_vga(machine, has_defaults=has_defaults)
        for nic in self._nics:
            self._plug_nic(machine, nic)
        plug_board_drives(machine)
        for options, text in self.device_options:
            with Blame(text):
                machine.plugs.plug(options)
        plug_virtio_drives(machine)
        if self._has_net or self._net_options or self.device_options:
            self._warn_of_network(machine, has_defaults=has_defaults)

    def _plug_vga(self, machine: Machine, *, has_defaults: bool) -> None:
        model = machine.board.vga_model
        if model and self._vga in _VGA_MODELS and model != "isa-vga":
            machine.plugs.plug({"driver": _VGA_MODELS[self._vga]}, is_of_board=True)
        elif model and (self._vga == "std" or (self._vga is None and has_defaults)):
            machine.plugs.plug({"driver": model}, is_of_board=True)
        elif not model and self._vga not in (None, "none"):
            self._warn(
                "warning: A -vga option was passed but this machine type does "
                "not use that option; No VGA device has been created"
            )

    def _plug_nic(self, machine: Machine, nic: Nic) -> None:
        from machine.devices.models import full_name
        from machine.devices.nic import SHORT_NAMES

        if not machine.board.nic_model:
            if not nic.mac:
                machine.network.reserve_mac()
            return
        model = nic.model or machine.board.nic_model
        model = SHORT_NAMES.get(model) or full_name(model)
        if model not in _NIC_MODELS and model != machine.board.nic_model:
            raise QemuError(f"Unsupported NIC model: {model}")
        options = {"driver": model, "netdev": nic.netdev}
        if nic.mac:
            options["mac"] = nic.mac
        if nic.vectors and model.startswith("virtio-net-pci"):
            options["vectors"] = nic.vectors
        machine.plugs.plug(options, is_of_board=True)

    def _warn_of_network(self, machine: Machine, *, has_defaults: bool) -> None:
        """What QEMU says of cards and back ends that are alone; not of those it made itself."""
        if has_defaults and not self._has_net:
            return
        lines = list(machine.network.warnings())
        if not machine.board.nic_model:
            lines += [
                f"requested NIC ({nic.name}, model {nic.model or 'unspecified'}) "
                "was not created (not supported by this machine?)"
                for nic in self._nics
            ]
        for line in lines:
            self._warn(f"warning: {line}")


def _check_mac(options: Mapping[str, str]) -> None:
    from machine.net.network import parse_mac

    mac = options.get("mac", options.get("macaddr"))
    if mac is not None and parse_mac(mac) is None:
        raise QemuError("invalid syntax for ethernet address")


def _numbered(name: str) -> int:
    """A descriptor that this program was given by its number."""
    from machine.migration.transport import numbered_descriptor

    return numbered_descriptor(name)
