"""The text rules of this corpus, those of the challenge's own recipe, so that error rates can be compared."""

import re
import string

# As in ESPnet's egs2/ml_superb: the outermost brackets, unless there is a parenthesis between them.
_BRACKETED = re.compile(r"\[[^()]*\]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Upper case, without what is in brackets and without ASCII punctuation, which leaves no space behind."""
    return " ".join(_BRACKETED.sub("", text).translate(_NO_PUNCTUATION).upper().split())
