"""HuBERT: an encoder of the waveform that learns to know the units of hidden frames."""
