"""Neural language models over text pieces."""
