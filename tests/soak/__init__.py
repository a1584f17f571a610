"""Long campaigns: stories, damaged images, and processes killed at work."""
