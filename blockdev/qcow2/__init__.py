"""The qcow2 driver: version 3 images of 64 KiB clusters and 16-bit reference counts."""
