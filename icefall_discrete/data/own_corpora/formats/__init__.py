"""How own corpora lie on disk: one file a format, found by its name; see contract.py."""
