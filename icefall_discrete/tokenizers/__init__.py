"""Speech in, codes or features out: one file a family, found by file name (see base.py for the contract)."""
