"""wav2vec 2.0: an encoder of the waveform that learns to tell hidden frames from others of the same utterance."""
