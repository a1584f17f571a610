"""The registers of Intel's 82540EM, as they are saved.  No driver gets at them yet.

Source: Intel's PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual;
values after a reset are those that QEMU 7.2 saves of its own card.
"""

from __future__ import annotations

from types import SimpleNamespace

from machine.devices.pci_device import PCI_DEVICE, PciDevice
from machine.vmstate.description import VMStateDescription
from machine.vmstate.fields import (
    Bool,
    Buffer,
    Int8,
    Struct,
    UInt8,
    UInt16,
    UInt32,
    UInt32Part,
    UnusedBuffer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from machine.net.network import Nic
    from machine.vmstate.field import Field

REGISTER_COUNT = 0x8000
# By the manual's names: offset, bytes.
OFFSETS = {
    "CTRL": 0x0000, "STATUS": 0x0008, "EECD": 0x0010, "EERD": 0x0014, "MDIC": 0x0020,
    "VET": 0x0038, "ICR": 0x00C0, "ITR": 0x00C4, "ICS": 0x00C8, "IMS": 0x00D0, "IMC": 0x00D8,
    "RCTL": 0x0100, "TCTL": 0x0400, "LEDCTL": 0x0E00, "PBA": 0x1000, "RDBAL": 0x2800,
    "RDBAH": 0x2804, "RDLEN": 0x2808, "RDH": 0x2810, "RDT": 0x2818, "RDTR": 0x2820,
    "RADV": 0x282C, "TDBAL": 0x3800, "TDBAH": 0x3804, "TDLEN": 0x3808, "TDH": 0x3810,
    "TDT": 0x3818, "TXDCTL": 0x3828, "TADV": 0x382C, "MPC": 0x4010, "GPRC": 0x4074,
    "GPTC": 0x4080, "TORL": 0x40C0, "TORH": 0x40C4, "TOTL": 0x40C8, "TOTH": 0x40CC,
    "TPR": 0x40D0, "TPT": 0x40D4, "WUFC": 0x5808, "MANC": 0x5820, "SWSM": 0x5B50,
}  # fmt: skip
RECEIVE_ADDRESSES, MULTICAST_TABLE, VLAN_TABLE = 0x5400, 0x5200, 0x5600
_AFTER_RESET = {
    "CTRL": 0x0014_0240, "STATUS": 0x8008_0783, "VET": 0x8100, "LEDCTL": 0x602,
    "PBA": 0x0010_0030, "MANC": 0x0022_2300,
}  # fmt: skip
_PHY_AFTER_RESET = {
    0: 0x1140, 1: 0x794D, 2: 0x0141, 3: 0x0C20, 4: 0x0DE1, 5: 0x01E0, 9: 0x0E00, 10: 0x3C00,
    16: 0x0360, 17: 0xAC00, 20: 0x0D60,
}  # fmt: skip
_EEPROM = bytes.fromhex(
    "000000000000 0000 ffff 0000 0000 0000 3000 1000 6403 100e 8086 100e 8086 3040"
    "0008 2000 7e14 0048 1000 00d8 0000 2700 6cc9 3150 0722 040b 0984 0000 c000 0706"
    "1008 0000 0f04 7fff 4d01 ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff"
    "0100 4000 121c ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff ffff 0000"
)
_EEPROM_SUM = 0xBABA  # of all its words
_LINK_UP = 0x2  # STATUS
_PHY_STATUS, _PHY_LINK_UP = 1, 0x4
_ADDRESS_VALID = 1 << 31
_REVISION = 3
_ETHERNET = 0x0200

_OFFLOADS = "ipcss ipcso ipcse tucss tucso tucse paylen hdr_len mss ip tcp".split()
_OFFLOAD_TYPES: dict[str, type[Field]] = {"ipcse": UInt16, "tucse": UInt16, "mss": UInt16}
_OFFLOAD_TYPES |= {"paylen": UInt32, "ip": Int8, "tcp": Int8}


def _offloads() -> SimpleNamespace:
    """How a packet is to be cut up and checksummed, by its last context descriptor."""
    return SimpleNamespace(**dict.fromkeys(_OFFLOADS, 0))


class E1000:
    """The registers, by the stream's names.

    Args:
        nic: the card as its back end sees it; it knows whether its link is up.
    """

    def __init__(self, nic: Nic) -> None:
        self._nic = nic
        self.parent_obj = PciDevice("e1000", _ETHERNET, _REVISION)
        self.rxbuf_size, self.rxbuf_min_shift = 0, 1
        self.eecd_state = SimpleNamespace(
            val_in=0, bitnum_in=0, bitnum_out=0, reading=0, old_eecd=0
        )
        self.mig_props = _offloads()
        self.tx = SimpleNamespace(size=0, tso_frames=0, sum_needed=0, tso_props=_offloads())
        self.tx.header, self.tx.data = bytes(256), bytes(65536)
        self.eeprom_data = _eeprom(nic.mac)
        self.phy_reg = [_PHY_AFTER_RESET.get(index, 0) for index in range(32)]
        self.mac_reg = [0] * REGISTER_COUNT
        for name, value in _AFTER_RESET.items():
            self.mac_reg[OFFSETS[name] >> 2] = value
        first = RECEIVE_ADDRESSES >> 2
        self.mac_reg[first] = int.from_bytes(nic.mac[:4], "little")
        self.mac_reg[first + 1] = int.from_bytes(nic.mac[4:], "little") | _ADDRESS_VALID
        self.mit_irq_level = False

    def show_link(self) -> None:
        """Bring the registers up to what the card's link is."""
        status = OFFSETS["STATUS"] >> 2
        self.mac_reg[status] &= ~_LINK_UP
        self.phy_reg[_PHY_STATUS] &= ~_PHY_LINK_UP
        if not self._nic.link_down:
            self.mac_reg[status] |= _LINK_UP
            self.phy_reg[_PHY_STATUS] |= _PHY_LINK_UP
        # A packet that is under way is known by its last descriptor alone.
        self.mig_props = SimpleNamespace(**vars(self.tx.tso_props))

    def take_link(self, version_id: int) -> None:
        """Go by the registers that came."""
        self._nic.link_down = not self.mac_reg[OFFSETS["STATUS"] >> 2] & _LINK_UP


def _eeprom(mac: bytes) -> list[int]:
    words = [int.from_bytes(_EEPROM[at : at + 2], "big") for at in range(0, len(_EEPROM), 2)]
    words[:3] = [int.from_bytes(mac[at : at + 2], "little") for at in (0, 2, 4)]
    words[-1] = (_EEPROM_SUM - sum(words[:-1])) & 0xFFFF
    return words


def _offload_fields(prefix: str, names: list[str]) -> tuple[Field, ...]:
    return tuple([_OFFLOAD_TYPES.get(name, UInt8)(f"{prefix}.{name}") for name in names])


def _registers(names: str) -> tuple[Field, ...]:
    return tuple(
        [
            UInt32Part(f"mac_reg[{name}]", "mac_reg", start=OFFSETS[name] >> 2, count=1)
            for name in names.split()
        ]
    )


def _is_version_1(card: E1000, version_id: int) -> bool:
    return version_id == 1


def _is_needed(card: E1000) -> bool:
    return True  # what QEMU's own properties switch off for machines before 2.x


E1000_STATE = VMStateDescription(
    name="e1000",
    version_id=2,
    minimum_version_id=1,
    pre_save=E1000.show_link,
    post_load=E1000.take_link,
    fields=(
        Struct("parent_obj", PCI_DEVICE),
        UnusedBuffer(4, exists=_is_version_1),
        UnusedBuffer(4),
        UInt32("rxbuf_size"),
        UInt32("rxbuf_min_shift"),
        UInt32("eecd_state.val_in"),
        UInt16("eecd_state.bitnum_in"),
        UInt16("eecd_state.bitnum_out"),
        UInt16("eecd_state.reading"),
        UInt32("eecd_state.old_eecd"),
        *_offload_fields("mig_props", _OFFLOADS[:-2]),
        UInt16("tx.size"),
        UInt16("tx.tso_frames"),
        UInt8("tx.sum_needed"),
        *_offload_fields("mig_props", _OFFLOADS[-2:]),
        Buffer("tx.header", 256),
        Buffer("tx.data", 65536),
        UInt16("eeprom_data", count=64),
        UInt16("phy_reg", count=32),
        *_registers(
            "CTRL EECD EERD GPRC GPTC ICR ICS IMC IMS LEDCTL MANC MDIC MPC PBA RCTL RDBAH RDBAL "
            "RDH RDLEN RDT STATUS SWSM TCTL TDBAH TDBAL TDH TDLEN TDT TORH TORL TOTH TOTL TPR "
            "TPT TXDCTL WUFC VET"
        ),
        UInt32Part("mac_reg", "mac_reg", start=RECEIVE_ADDRESSES >> 2, count=32),
        UInt32Part("mac_reg", "mac_reg", start=MULTICAST_TABLE >> 2, count=128),
        UInt32Part("mac_reg", "mac_reg", start=VLAN_TABLE >> 2, count=128),
    ),
    subsections=(
        VMStateDescription(
            name="e1000/mit_state",
            needed=_is_needed,
            fields=(*_registers("RDTR RADV TADV ITR"), Bool("mit_irq_level")),
        ),
        VMStateDescription(
            name="e1000/full_mac_state",
            needed=_is_needed,
            fields=(UInt32("mac_reg", count=REGISTER_COUNT),),
        ),
        VMStateDescription(
            name="e1000/tx_tso_state",
            needed=_is_needed,
            fields=_offload_fields("tx.tso_props", _OFFLOADS),
        ),
    ),
)
