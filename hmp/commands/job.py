"""Work on a disk that goes on beside everything else."""

from __future__ import annotations

from hmp.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from blockdev.block_job import BlockJob
    from hmp.monitor import Monitor


def block_stream(monitor: Monitor, *, device: str, speed: int | None, base: str | None) -> None:
    from machine import chain_jobs, job_options

    options = job_options.JobOptions(device, speed=speed or 0)
    chain_jobs.block_stream(monitor.machine, device, base=base, options=options)


def drive_mirror(
    monitor: Monitor, *, reuse: bool, full: bool, device: str, target: str, format: str | None
) -> None:
    from machine import copy_jobs

    copy_jobs.drive_mirror(
        monitor.machine,
        device,
        target,
        driver=format,
        sync=copy_jobs.FULL if full else copy_jobs.TOP,
        mode=copy_jobs.EXISTING if reuse else copy_jobs.ABSOLUTE_PATHS,
    )


def drive_backup(
    monitor: Monitor,
    *,
    reuse: bool,
    full: bool,
    compress: bool,
    device: str,
    target: str,
    format: str | None,
) -> None:
    from machine import copy_jobs

    copy_jobs.drive_backup(
        monitor.machine,
        device,
        target,
        driver=format,
        sync=copy_jobs.FULL if full else copy_jobs.TOP,
        mode=copy_jobs.EXISTING if reuse else copy_jobs.ABSOLUTE_PATHS,
        compress=compress,
    )


def block_job_set_speed(monitor: Monitor, *, device: str, speed: int) -> None:
    _job(monitor, device).set_speed(speed)


def block_job_cancel(monitor: Monitor, *, force: bool, device: str) -> None:
    from machine import job_options

    job_options.cancel(_job(monitor, device), force=force)


def block_job_complete(monitor: Monitor, *, device: str) -> None:
    _job(monitor, device).complete()


def block_job_pause(monitor: Monitor, *, device: str) -> None:
    _job(monitor, device).pause()


def block_job_resume(monitor: Monitor, *, device: str) -> None:
    _job(monitor, device).resume()


def _job(monitor: Monitor, id: str) -> BlockJob:
    from blockdev.block_job import find_block_job

    return find_block_job(monitor.machine.jobs, id)


def info_block_jobs(monitor: Monitor) -> None:
    from blockdev.block_job import BlockJob

    jobs = [job for job in monitor.machine.jobs if isinstance(job, BlockJob)]
    if not jobs:
        monitor.print_line("No active jobs")
    for job in jobs:
        kind = "Streaming device" if job.type == "stream" else f"Type {job.type}, device"
        monitor.print_line(
            f"{kind} {job.id}: Completed {job.current} of {job.total} bytes, "
            f"speed limit {job.speed} bytes/s"
        )


COMMANDS = (
    Command(
        name="block_stream",
        args_type="device:B,speed:o?,base:s?",
        params="device [speed [base]]",
        help="copy data from a backing file into a block device",
        run=block_stream,
    ),
    Command(
        name="block_job_set_speed",
        args_type="device:B,speed:o",
        params="device speed",
        help="set maximum speed for a background block operation",
        run=block_job_set_speed,
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
        run=block_job_cancel,
    ),
    Command(
        name="block_job_complete",
        args_type="device:B",
        params="device",
        help="stop an active background block operation",
        run=block_job_complete,
    ),
    Command(
        name="block_job_pause",
        args_type="device:B",
        params="device",
        help="pause an active background block operation",
        run=block_job_pause,
    ),
    Command(
        name="block_job_resume",
        args_type="device:B",
        params="device",
        help="resume a paused background block operation",
        run=block_job_resume,
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
        run=drive_mirror,
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
        run=drive_backup,
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
