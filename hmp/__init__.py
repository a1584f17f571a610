"""What a person or a script types and reads: QEMU's command line, monitor and front ends."""

__version__ = "0.1.0"
