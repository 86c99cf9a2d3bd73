"""A decoder-only transformer: each step sees itself and those before it; keys and values are kept for the next."""
