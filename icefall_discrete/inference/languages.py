"""The tokenizer for audio of one language, where codes depend on it."""

from icefall_discrete.tokenizers.contract import SpeechTokenizer


def in_language(tokenizer: SpeechTokenizer, language: str, where: str) -> SpeechTokenizer:
    """The tokenizer for audio in `language`, "" where none was said; `where` it is from, for messages.

    Raises:
      ValueError: if codes do not depend on a language that was said, or do on one that was not, or is not known.
    """
    if language and not tokenizer.needs_language:
        raise ValueError(
            f"language is '{language}', but the codes of {where} do not depend on the language; leave it out."
        )
    try:
        return tokenizer.in_language(language or None)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).rstrip('.')} (--language).") from None
