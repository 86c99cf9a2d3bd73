"""HuBERT: an encoder of the waveform, or of features, that learns to know the units of hidden frames."""
