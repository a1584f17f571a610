"""Work on a disk that goes on beside everything else."""

from __future__ import annotations

from hmp.command import Command
from hmp.commands.unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hmp.monitor import Monitor


def info_block_jobs(monitor: Monitor) -> None:
    """No job can be under way: no command that begins one is there yet."""
    monitor.print_line("No active jobs")


COMMANDS = (
    Command(
        name="block_stream",
        args_type="device:B,speed:o?,base:s?",
        params="device [speed [base]]",
        help="copy data from a backing file into a block device",
        run=unavailable,
    ),
    Command(
        name="block_job_set_speed",
        args_type="device:B,speed:o",
        params="device speed",
        help="set maximum speed for a background block operation",
        run=unavailable,
    ),
    Command(
        name="block_job_cancel",
        args_type="force:-f,device:B",
        params="[-f] device",
        help=(
            "stop an active background block operation (use -f\n"
            "\t\t\t if you want to abort the operation immediately\n"
            "\t\t\t instead of keep running until data is in sync)"
        ),
        run=unavailable,
    ),
    Command(
        name="block_job_complete",
        args_type="device:B",
        params="device",
        help="stop an active background block operation",
        run=unavailable,
    ),
    Command(
        name="block_job_pause",
        args_type="device:B",
        params="device",
        help="pause an active background block operation",
        run=unavailable,
    ),
    Command(
        name="block_job_resume",
        args_type="device:B",
        params="device",
        help="resume a paused background block operation",
        run=unavailable,
    ),
    Command(
        name="drive_mirror",
        args_type="reuse:-n,full:-f,device:B,target:s,format:s?",
        params="[-n] [-f] device target [format]",
        help=(
            "initiates live storage\n"
            "\t\t\tmigration for a device. The device's contents are\n"
            "\t\t\tcopied to the new image file, including data that\n"
            "\t\t\tis written after the command is started.\n"
            "\t\t\tThe -n flag requests QEMU to reuse the image found\n"
            "\t\t\tin new-image-file, instead of recreating it from scratch.\n"
            "\t\t\tThe -f flag requests QEMU to copy the whole disk,\n"
            "\t\t\tso that the result does not need a backing file.\n"
            "\t\t\t"
        ),
        run=unavailable,
    ),
    Command(
        name="drive_backup",
        args_type="reuse:-n,full:-f,compress:-c,device:B,target:s,format:s?",
        params="[-n] [-f] [-c] device target [format]",
        help=(
            "initiates a point-in-time\n"
            "\t\t\tcopy for a device. The device's contents are\n"
            "\t\t\tcopied to the new image file, excluding data that\n"
            "\t\t\tis written after the command is started.\n"
            "\t\t\tThe -n flag requests QEMU to reuse the image found\n"
            "\t\t\tin new-image-file, instead of recreating it from scratch.\n"
            "\t\t\tThe -f flag requests QEMU to copy the whole disk,\n"
            "\t\t\tso that the result does not need a backing file.\n"
            "\t\t\tThe -c flag requests QEMU to compress backup data\n"
            "\t\t\t(if the target format supports it).\n"
            "\t\t\t"
        ),
        run=unavailable,
    ),
)

INFO = (
    Command(
        name="block-jobs",
        args_type="",
        params="",
        help="show progress of ongoing block device operations",
        run=info_block_jobs,
    ),
)
