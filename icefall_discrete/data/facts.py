"""What a manifest says of an utterance besides its audio: text, language, speaker, fields of a corpus."""

from typing import Dict, Optional, Union

from lhotse.cut import Cut

from icefall_discrete.data.cuts import language_of, text_of

Facts = Dict[str, Union[str, int, float, bool, None]]


def facts_of(cut: Cut) -> Facts:
    """Facts of a cut as plain values, by name; None for one that is not known.

    `text` is that of all its supervisions in order of time; `language`, `speaker`, `gender` and the custom fields that
    are plain values (such as a keyword or an intent) are those of the first.
    """
    supervisions = sorted(cut.supervisions, key=lambda supervision: supervision.start)
    first = supervisions[0] if supervisions else None
    custom = (first.custom if first else None) or {}
    return {
        **{name: value for name, value in custom.items() if isinstance(value, (str, int, float))},
        "text": text_of(cut) if any((supervision.text or "").strip() for supervision in supervisions) else None,
        "language": language_of(cut),
        "speaker": first.speaker if first else None,
        "gender": first.gender if first else None,
    }


def text_fact(facts: Facts, name: str) -> Optional[str]:
    """A fact that is a text, such as text and language; None if it is not known."""
    value = facts.get(name)
    return value if isinstance(value, str) else None


def require_fact(cut: Cut, name: str) -> None:
    """Raise ValueError if the fact is not known of the cut; the cut is named, and the facts that are."""
    if name == "text":
        text_of(cut)
        return
    facts = facts_of(cut)
    if facts.get(name) is None:
        known = ", ".join(sorted(fact for fact, value in facts.items() if value is not None)) or "nothing"
        raise ValueError(
            f"cut {cut.id}: its {name} is not known (known: {known}); give it one in the manifest stage, or drop it."
        )
