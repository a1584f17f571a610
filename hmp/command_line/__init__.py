"""QEMU's command line: what there is of options, and what each means."""
