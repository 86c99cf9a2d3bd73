"""Toys of tokenizers: each tokenizer's own test module says how to make one, for the tests that run on all of them.

`test_<name>.py` of a tokenizer, a frame source or a quantizer has a `TOY`. That of a composed tokenizer, `X_Q`, is its
source X's with its quantizer Q's, unless there is a `test_<X_Q>.py` with its own.
"""

import importlib.util
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from icefall_discrete.tokenizers import find_tokenizer
from icefall_discrete.tokenizers.frames import frame_source_modules
from icefall_discrete.tokenizers.quantizers import quantizer_modules

TESTS = Path(__file__).resolve().parents[1]
# Where test modules of tokenizers lie.
TEST_DIRS: List[Path] = [TESTS / "tokenizers", TESTS / "systems"]


class Toy(NamedTuple):
    """The smallest of its kind.

    settings: what its JSON file would hold, given a folder to make models in; skips the test if a package is missing.
    edge_frames: how many frames an utterance may differ from duration x rate by.
    """

    settings: Callable[[Path], Dict[str, Any]]
    edge_frames: int = 1


def _own_toy(name: str) -> Optional[Toy]:
    paths = [folder / f"test_{name}.py" for folder in TEST_DIRS if (folder / f"test_{name}.py").is_file()]
    if not paths:
        return None
    spec = importlib.util.spec_from_file_location(f"toy_of_{name}", paths[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "TOY", None)


def find_toy(name: str) -> Toy:
    """The toy of the tokenizer called `name`; AssertionError, saying where to put one, if there is none."""
    toy = _own_toy(name)
    parts = [
        (name.removesuffix(f"_{quantizer}"), quantizer)
        for quantizer in quantizer_modules()
        if name.removesuffix(f"_{quantizer}") in frame_source_modules()
    ]
    if toy is None and len(parts) == 1 and parts[0][0] != name:
        frames, codes = map(find_toy, parts[0])
        return Toy(lambda folder: {**frames.settings(folder), **codes.settings(folder)}, frames.edge_frames)
    assert toy is not None, f"no TOY of '{name}': test_{name}.py must say how to make one (see toy_tokenizers.py)"
    return toy


def make_tokenizer(tokenizer, settings, state_dir=None):
    """The tokenizer called `tokenizer` with `settings`, as feature type "toy"."""
    known = find_tokenizer(tokenizer)
    return known.tokenizer.make("toy", known.read(settings, tokenizer), state_dir, ())


class AudioInLanguages(list):
    """Pairs of samples and name, every other one in English and in Russian."""

    def by_language(self):
        """The English ones and the Russian ones."""
        return {"en": self[::2], "ru": self[1::2]}


def make_toy(name, folder, fit_audio):
    """The toy of `name`, fitted in `folder` if it needs fitting; for English, if it needs a language."""
    folder.mkdir(exist_ok=True)
    made = make_tokenizer(name, find_toy(name).settings(folder))
    if made.needs_fit:
        made.fit(AudioInLanguages(fit_audio) if made.needs_language else fit_audio, folder / "state", seed=1)
    return made.in_language("en") if made.needs_language else made
