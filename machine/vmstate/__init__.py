"""What is saved: descriptions of device state, and the list of those that take part."""
