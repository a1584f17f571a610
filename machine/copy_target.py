"""The files that disks are copied to."""

from __future__ import annotations

from blockdev.node import CacheMode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.node import BlockNode
    from machine.machine import Machine


def create_target(
    machine: Machine,
    target: str,
    driver: str,
    size: int,
    backing: BlockNode | None,
    *,
    looks: bool,
) -> None:
    """Make the image that a disk is to be copied to.

    Args:
        backing: what is to stand under it; None for nothing.
        looks: see that this can be opened by its name.

    Raises:
        QemuError: it can't be made; QEMU's words.
    """
    from blockdev.image_create import create_image

    def look(name: str, driver: str) -> None:
        _look(machine, name, driver)

    create_image(
        target,
        driver,
        size,
        machine.tell,
        backing=backing.filename if backing is not None else "",
        backing_format=backing.driver if backing is not None else "",
        check_backing=look if looks else None,
    )


def _look(machine: Machine, name: str, driver: str) -> None:
    """See that a backing file can be opened."""
    node = machine.graph.open_image(
        name, driver=driver or None, read_only=True, cache=CacheMode(), locking=False
    )
    machine.graph.remove(node)


def open_target(
    machine: Machine,
    target: str,
    driver: str | None,
    cache: CacheMode,
    node_name: str | None,
    *,
    no_backing: bool,
) -> BlockNode:
    """Open a file that is going to be written.

    Args:
        no_backing: the backing file that it names isn't opened.
    """
    return machine.graph.open_image(
        target,
        driver=driver,
        read_only=False,
        cache=cache,
        node_name=node_name,
        open_backing=(lambda: None) if no_backing else None,
    )
