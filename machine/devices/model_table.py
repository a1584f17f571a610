"""The table of models of which nothing but their presence is simulated.

A device of such a model has its place on a bus, in the trees and in lists; it does nothing.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLE = os.path.join(os.path.dirname(__file__), "model_table.tsv")
_PCI = ("kind", "code", "ids", "subsystem", "pin", "bars")
_rows: list[ModelRow] = []


class ModelRow:
    """A line of the table, its fields between tabs.

    Attributes:
        name: of the model.
        bus: the kind that it is plugged into; "" for none.
        brings: the kinds of the buses that it brings along.
        traits: what else there is to it, with a value or with "".
        pci: what the PCI bus shows of it, see `machine.devices.pci.PciModel`; empty off that bus.
    """

    __slots__ = ("brings", "bus", "name", "pci", "traits")

    def __init__(self, fields: Sequence[str]) -> None:
        self.name, self.bus, words, *pci = fields
        pairs = [word.partition("=") for word in words.split()]
        self.brings = [value for trait, _, value in pairs if trait == "bus"]
        self.traits = {trait: value for trait, _, value in pairs if trait != "bus"}
        self.pci = dict(zip(_PCI, pci, strict=True)) if pci else {}


def rows() -> Sequence[ModelRow]:
    """All of the table.

    The words of the third field:

    - ``nic``: a network card.
    - ``bus=KIND``: it brings such a bus.
    - ``unmigratable=SECTION``: it can't be saved.
    - ``single=TEXT``: there is one of them; what is said to a second, ``~`` for blanks.
    - ``disk``: it has a disk on its bus.
    - ``needs=TEXT``: a character device; what is said where there is none.
    - ``keyboard=NAME``, ``mouse=NAME``, ``tablet=NAME``: what it is for its users.
    - ``product=NAME``, ``speeds=SPEED+...``: of a USB device; ``waits``: one that is plugged
      in later is not attached until somebody says so.
    - ``ports=COUNT:SPEED+...``: of a controller of USB.
    - ``sas_address=NUMBER``: where it has no address, it has this one and its place on the bus.

    Source: what QEMU 7.2 answers on ``query-pci`` and ``info pci``, and to migrations.
    """
    if not _rows:
        with open(_TABLE, encoding="utf-8") as file:
            lines = file.read().splitlines()
        _rows.extend(ModelRow(line.split("\t")) for line in lines if not line.startswith("#"))
    return _rows
