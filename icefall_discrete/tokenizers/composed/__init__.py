"""Tokenizers composed of others' parts: of a frame source, with or without a quantizer, or of whole feature types."""
