"""Generators of vocoders, a file each: from vectors of frames to a waveform."""
