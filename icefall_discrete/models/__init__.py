"""Models: from batches of codes or features to encoder output and label scores."""
