"""One decoder for text and speech: what is asked of it, and in which order, are layouts, which are data."""
