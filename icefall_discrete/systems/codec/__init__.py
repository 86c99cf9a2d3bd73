"""A codec of one's own: encoder, quantizer and decoder."""
