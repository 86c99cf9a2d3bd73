"""Layers over each frame by itself; DASB's smaller head for recognition, arXiv 2406.14294."""
