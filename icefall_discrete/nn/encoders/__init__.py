"""Encoders, one folder each."""
