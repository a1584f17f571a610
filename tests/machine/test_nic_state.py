"""A network card's section: QEMU's fields, values and bytes, and what a guest's link becomes."""

import json
import time
from pathlib import Path

import pytest

from machine.devices.e1000 import E1000, E1000_STATE, OFFSETS
from machine.migration.qemufile import QEMUFileReader, QEMUFileWriter, StreamError
from machine.net.network import Network, Nic
from machine.vmstate.vmdesc import to_json
from tests.machine.machines import Bytes, Collecting
from tests.machine.reference import incoming, outgoing
from tests.session import Session, run_to_end

PC = [*"-M pc -m 1 -nodefaults -display none -S -monitor stdio".split()]
PC += ["-netdev", "hubport,id=h,hubid=0", "-device", "e1000,id=n,netdev=h,addr=3"]
SECTION_SIZE = 198_000  # bytes of an e1000's, at least
MAC = bytes.fromhex("525400123456")
NAME = b"0000:00:03.0/e1000"
BOARD = ["-accel", "tcg", "-m", "1", "-device", "e1000,addr=3,mac=52:54:00:12:34:56"]


@pytest.fixture(scope="module")
def real(qemu: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, object]]:
    """The section of a real card's: its body, and how it is described."""
    stream = outgoing(qemu, tmp_path_factory.mktemp("pc"), BOARD, machine="pc")
    described = json.loads(stream[stream.rindex(b'{"page_size"') :])["devices"]
    about = next(each for each in described if each["name"] == NAME.decode())
    start = stream.index(NAME + b"\0\0\0\0\0\0\0\2") + len(NAME) + 8
    return stream[start:], about


def card(mac: bytes = MAC) -> tuple[Nic, E1000]:
    nic = Network().add_nic("e1000", id="n", mac=mac, peer=None)
    return nic, E1000(nic)


def saved(device: E1000) -> tuple[bytes, dict[str, object]]:
    channel = Collecting()
    file = QEMUFileWriter(channel)
    about = E1000_STATE.save(file, device)
    file.close()
    return bytes(channel.data), json.loads(to_json(about))


def load(device: E1000, data: bytes) -> list[str]:
    reports: list[str] = []
    file = QEMUFileReader(Bytes(data + b"\x7e"))
    E1000_STATE.load(file, device, 2, reports.append).apply(device)
    assert file.tell() == len(data)
    return reports


def test_a_new_card_is_described_as_qemu_describes_it(
    real: tuple[bytes, dict[str, object]],
) -> None:
    _, about = saved(card()[1])
    theirs = {name: value for name, value in real[1].items() if name in about}
    assert about == theirs


def test_a_new_card_has_qemus_bytes(real: tuple[bytes, dict[str, object]]) -> None:
    ours, _ = saved(card()[1])
    assert len(ours) > 65536 + 4 * 32768
    assert ours == real[0][: len(ours)]


def test_a_card_takes_qemus_bytes_and_gives_them_back(
    real: tuple[bytes, dict[str, object]],
) -> None:
    data, _ = saved(card()[1])
    _, device = card(b"\2\2\2\2\2\2")  # its address in the registers is the guest's affair
    assert saved(device)[0] != data
    assert load(device, real[0][: len(data)]) == []
    assert saved(device)[0] == data


def test_every_register_goes_along() -> None:
    _, device = card()
    device.mac_reg = [index * 7 for index in range(32768)]
    device.mac_reg[OFFSETS["STATUS"] >> 2] |= 2
    device.phy_reg = list(range(32))
    device.phy_reg[1] |= 4
    device.eeprom_data = list(range(64))
    device.tx.data = bytes(range(256)) * 256
    device.tx.tso_props.ipcse = 0x1234
    device.tx.tso_props.ip = -1
    device.eecd_state.old_eecd = 0xDEADBEEF
    device.mit_irq_level = True
    data, _ = saved(device)
    _, other = card()
    load(other, data)
    for name in ("mac_reg", "phy_reg", "eeprom_data", "eecd_state", "tx", "mit_irq_level"):
        assert getattr(other, name) == getattr(device, name), name
    assert other.mig_props == device.tx.tso_props


def test_a_link_that_is_down_stays_down() -> None:
    nic, device = card()
    nic.link_down = True
    data, _ = saved(device)
    other_nic, other = card()
    load(other, data)
    assert other_nic.link_down
    nic.link_down = False
    load(other, saved(device)[0])
    assert not other_nic.link_down


def test_a_section_cut_short_changes_nothing() -> None:
    nic, device = card()
    nic.link_down = True
    data, _ = saved(device)
    other_nic, other = card()
    before = saved(other)
    for size in (*range(400), *range(400, len(data), 4001), len(data) - 1):
        file = QEMUFileReader(Bytes(data[:size]))
        with pytest.raises(StreamError):
            E1000_STATE.load(file, other, 2, lambda _: None)
    assert saved(other) == before
    assert not other_nic.link_down


@pytest.mark.parametrize("place", [0, 3, 8, 10, 14])
def test_another_device_is_refused_in_qemus_words(
    place: int, real: tuple[bytes, dict[str, object]]
) -> None:
    data = bytearray(saved(card()[1])[0])
    data[4 + place] ^= 0xFF
    reports: list[str] = []
    with pytest.raises(StreamError):
        E1000_STATE.load(QEMUFileReader(Bytes(data)), card()[1], 2, reports.append)
    read, device = data[4 + place], data[4 + place] ^ 0xFF
    assert reports[0] == (
        f"get_pci_config_device: Bad config data: i={place:#x} read: {read:x} device: {device:x} "
        "cmask: ff wmask: 0 w1cmask:0"
    )
    assert reports[1:] == [
        "Failed to load PCIDevice:config",
        "Failed to load e1000:parent_obj",
    ]


def test_the_real_card_says_the_same(qemu: str, tmp_path: Path) -> None:
    stream = bytearray(outgoing(qemu, tmp_path, BOARD, machine="pc"))
    start = stream.index(NAME + b"\0\0\0\0\0\0\0\2") + len(NAME) + 8
    stream[start + 4] ^= 0xFF
    folder = tmp_path / "streams"
    folder.mkdir()
    arrival = incoming(qemu, folder, bytes(stream), ["-M", "pc", *BOARD])
    assert arrival.reports[0].startswith("warning: ")  # of a card without a peer
    assert arrival.reports[1:4] == [
        "get_pci_config_device: Bad config data: i=0x0 read: 79 device: 86 "
        "cmask: ff wmask: 0 w1cmask:0",
        "Failed to load PCIDevice:config",
        "Failed to load e1000:parent_obj",
    ]


def migrated(program: str, folder: Path, name: str, *options: str) -> bytes:
    """The stream that a stopped machine writes."""
    session = Session([program, *PC, *options], folder)
    if "-incoming" in options:
        deadline = time.monotonic() + 20
        while session("info status") == "VM status: paused (inmigrate)\n":
            assert time.monotonic() < deadline
    else:
        session("set_link n off")
    assert session(f'migrate "exec:cat > {name}"') == ""
    assert session.quit() == 0
    return (folder / name).read_bytes()


def section(stream: bytes) -> bytes:
    start = stream.index(NAME + b"\0\0\0\0\0\0\0\2")
    return stream[start : stream.index(b"\x7e", start + SECTION_SIZE)]


def test_a_card_goes_to_qemu_and_comes_back(hmp: str, qemu: str, tmp_path: Path) -> None:
    ours = section(migrated(hmp, tmp_path, "ours"))
    assert ours[len(NAME) + 8 :] != saved(card()[1])[0]  # its link is down
    theirs = section(migrated(qemu, tmp_path, "theirs", "-incoming", "exec:cat ours"))
    assert theirs == ours
    # All of their stream can't be taken: their board has more than ours.
    back = section(migrated(hmp, tmp_path, "back", "-incoming", "exec:cat ours"))
    assert back == ours


def test_a_card_of_another_layout_is_refused_in_qemus_words(
    hmp: str, qemu: str, tmp_path: Path
) -> None:
    said = []
    for program in (hmp, qemu):
        stream = bytearray(migrated(program, tmp_path, "stream"))
        start = stream.index(NAME + b"\0\0\0\0\0\0\0\2") + len(NAME) + 8
        stream[start + 3] = 3
        (tmp_path / "stream").write_bytes(stream)
        status, _, stderr = run_to_end([program, *PC, "-incoming", "exec:cat stream"], tmp_path)
        assert status == 1
        said.append([line.partition(": ")[2] for line in stderr.splitlines()[-5:]])
    assert said[0] == said[1]
    assert said[0][:2] == [
        "Invalid value 3 expecting positive value <= 2",
        "Failed to load PCIDevice:version_id",
    ]
