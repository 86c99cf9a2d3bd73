"""A class for each utterance: language, speaker, or a field of the corpus."""
