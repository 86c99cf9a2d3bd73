"""What a loss compares with: pieces of text, classes. One file a kind; contract.py says what each offers."""
