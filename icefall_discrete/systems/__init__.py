"""What is trained: one folder each."""
