"""A debugger's way in: GDB's remote serial protocol over a character device."""
