"""Recognition of audio while it comes: from files, from standard input, from clients."""
