"""One device a module, its VMStateDescription beside it."""
