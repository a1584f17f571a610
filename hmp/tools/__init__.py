"""The programs beside the monitor, and the command languages that the monitor shares with them."""
