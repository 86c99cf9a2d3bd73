"""Text to units, all at once."""
