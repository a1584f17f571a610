"""Bytes, clusters and nodes, as in QEMU's block layer; knows no machine and prints nothing."""
