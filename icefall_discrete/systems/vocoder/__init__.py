"""Codes, or features, to a waveform."""
