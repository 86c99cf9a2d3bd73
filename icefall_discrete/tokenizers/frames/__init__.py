"""Frame sources: from audio to vectors."""
