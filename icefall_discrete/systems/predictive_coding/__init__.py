"""Contrastive predictive coding: frames ahead are told from others of the utterance (CPC, wav2vec, vq-wav2vec)."""
