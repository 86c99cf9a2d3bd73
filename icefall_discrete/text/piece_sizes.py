"""How many text pieces there can be; importing this needs no package, so that planning can ask it."""

SMALLEST = 4  # blank, sentence mark, unknown, and one piece of text


def check_size(vocab_size: int, piece_type: str) -> None:
    """Raise ValueError if there are too few pieces to be trained; characters are as many as there are."""
    if piece_type != "char" and vocab_size < SMALLEST:
        raise ValueError(f"vocab_size is {vocab_size}, expected at least {SMALLEST} (some hundreds are usual).")
