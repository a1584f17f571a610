"""The qcow2 driver: every image that QEMU 7.2 makes, but for encryption and external data."""
