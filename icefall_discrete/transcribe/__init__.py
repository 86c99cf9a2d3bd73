"""From audio files to text with a trained experiment: read, resample, divide, tokenize, search, print."""
