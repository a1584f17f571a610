"""Character devices: where bytes come from and go to."""
