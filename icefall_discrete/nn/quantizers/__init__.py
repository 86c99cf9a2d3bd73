"""Quantizers that learn within a network, one file each."""
