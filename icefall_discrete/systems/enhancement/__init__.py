"""Codes of noisy or mixed speech to codes of what it is made of."""
