"""Network cards' other ends: back ends, hubs, filters."""
