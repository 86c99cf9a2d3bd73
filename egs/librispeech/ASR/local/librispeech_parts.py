"""What OpenSLR publishes about each part of LibriSpeech (https://www.openslr.org/12)."""

from typing import Dict, NamedTuple


class Part(NamedTuple):
    """MD5 of the part's archive <part>.tar.gz (OpenSLR's md5sum.txt), and its number of utterances."""

    md5: str
    num_utterances: int


PARTS: Dict[str, Part] = {
    "dev-clean": Part("42e2234ba48799c1f50f24a7926300a1", 2703),
    "dev-other": Part("c8d0bcc9cca99d4f8b62fcc847357931", 2864),
    "test-clean": Part("32fa31d27d2e1cad72775fee3f4849a9", 2620),
    "test-other": Part("fb5a50374b501bb3bac4815ee91d3135", 2939),
    "train-clean-100": Part("2a93770f6d5c6c964bc36631d331a522", 28539),
    "train-clean-360": Part("c0e676e450a7ff2f54aeade5171606fa", 104014),
    "train-other-500": Part("d1a0fd59409feb2c614ce4d30c387708", 148688),
}
