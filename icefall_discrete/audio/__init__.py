"""Samples from files of every kind, and noise in them."""
