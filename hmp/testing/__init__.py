"""For tests of programs that drive a QEMU monitor: a machine in a line, and what became of it.

`hmp.testing.plugin` is a pytest plugin over `hmp.testing.vm`, which needs no pytest.
"""

from hmp.testing.disks import Disk
from hmp.testing.vm import VM

__all__ = ["VM", "Disk"]
