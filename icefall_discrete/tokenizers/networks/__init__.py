"""Networks that several tokenizers share."""
