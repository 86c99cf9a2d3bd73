"""Figures about codes and hypotheses: code usage, bit rate, word and character error rates."""
