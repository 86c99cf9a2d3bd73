"""Names of numbers, by num2words, which knows them in many languages."""


class UnknownNumbers(ValueError):
    """Numbers in a language that nobody knows here."""


class NumberWithoutName(ValueError):
    """A number is larger than those that have names."""


def name_of(number: int, language: str = "en", kind: str = "cardinal") -> str:
    """The words of a number, as num2words writes them.

    Args:
      language: its code. kind: "cardinal", "ordinal", "year".
    Raises:
      ImportError: if num2words is not there, and how it is had.
      UnknownNumbers: if it does not know the language, or has no such numbers in it.
      NumberWithoutName: if the number is larger than those that have names in the language.
    """
    try:
        from num2words import num2words
    except ImportError as error:
        raise ImportError(f"numbers in texts are spelled out by num2words; pip install num2words ({error}).") from error
    try:
        return num2words(number, lang=language, to=kind)
    except NotImplementedError:
        raise UnknownNumbers(f"num2words has no {kind} numbers in the language '{language}'.") from None
    except (LookupError, OverflowError) as error:  # as its languages say it, each in its way
        raise NumberWithoutName(f"num2words has no name for a number of {len(str(number))} digits.") from error
