"""Names of numbers, by num2words, which knows them in many languages."""


def name_of(number: int, language: str = "en", kind: str = "cardinal") -> str:
    """The words of a number, as num2words writes them.

    Args:
      language: its code. kind: "cardinal", "ordinal", "year".
    Raises:
      ImportError: if num2words is not there, and how it is had.
    """
    try:
        from num2words import num2words
    except ImportError as error:
        raise ImportError(f"numbers in texts are spelled out by num2words; pip install num2words ({error}).") from error
    return num2words(number, lang=language, to=kind)
