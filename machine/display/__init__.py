"""Pictures of what a display shows."""
