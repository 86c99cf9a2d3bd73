"""wav2vec-U: speech and text that do not belong together, and how one is told from the other."""
