"""Cuts in, codes on disk: fitting, encoding, journals, shards and checks."""
