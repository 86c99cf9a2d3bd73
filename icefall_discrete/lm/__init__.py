"""Language models over text pieces (or words): n-gram models in ARPA files, and small neural ones."""
