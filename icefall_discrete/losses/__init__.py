"""Losses: tensors in, summed nats out; no model and no command line inside."""
