"""Measurements side by side with the real programs, in one run; never a timed test."""
