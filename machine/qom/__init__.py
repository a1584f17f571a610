"""QEMU's object model, as far as objects stand beside the machine."""
