"""What people and scripts talk to: line editor, front ends, signals."""
