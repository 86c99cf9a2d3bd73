"""What is trained: one folder each."""

# The system of a recipe that names none.
DEFAULT_SYSTEM = "asr"
