"""From the first codes of frames to the others: what a language model leaves out of a codec's codes."""
