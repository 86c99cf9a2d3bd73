"""Published files: finding them, and reading them without trusting them."""
