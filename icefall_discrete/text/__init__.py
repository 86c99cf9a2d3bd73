"""Pieces, words, and what recognisers know of writing."""
