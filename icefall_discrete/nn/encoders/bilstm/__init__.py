"""Long short-term memory in both directions, or in one; DASB's head for recognition, arXiv 2406.14294."""
