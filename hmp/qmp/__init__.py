"""QEMU's Machine Protocol: JSON in, JSON out, over the same machine as the human monitor."""
