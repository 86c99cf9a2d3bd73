"""Text and codes of utterances as lines of JSON, as SpeechInstruct (https://arxiv.org/abs/2305.11000) has them.

A line an utterance and task: `plain_text` is the whole sequence, `prompt` and `answer` are its two parts, written as
vocabulary.py says; `prefix` stands before every conversation. Hugging Face's datasets read such a file as it is.

A file grows under another name, line by line, so that a killed export goes on where it was.
"""

import json
import logging
import os
from pathlib import Path
from typing import Iterable, Iterator, Sequence, Tuple

import torch
from lhotse.cut import Cut

from icefall_discrete.base.at_work import LOCK_FILE, at_work
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_frames
from icefall_discrete.data.facts import facts_of
from icefall_discrete.systems.speech_lm.layouts import SAID, Layout
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary

LOG = logging.getLogger(__name__)


def sequences(cuts: Iterable[Cut], layouts: Sequence[Layout]) -> Iterator[Tuple[Cut, Layout]]:
    """Each cut in each layout, but for layouts with a text where it has none."""
    num_left_out = 0
    for cut in cuts:
        has_text = facts_of(cut).get(SAID) is not None
        for layout in layouts:
            if has_text or not layout.needs_text:
                yield cut, layout
            else:
                num_left_out += 1
    if num_left_out:
        LOG.warning(f"{num_left_out} sequences are left out: their layouts have a text, and their cuts none.")


def line_of(cut: Cut, layout: Layout, spec: FeatureSpec, prefix: str) -> str:
    """The line of a cut. Raises ValueError, naming the cut, for a fact that is not known of it."""
    vocabulary = Vocabulary(spec.codebook_sizes)
    codes = torch.from_numpy(load_frames(cut, spec)).long()
    try:
        laid = layout.of(facts_of(cut), codes, vocabulary)
    except ValueError as error:
        raise ValueError(f"cut {cut.id}: {error}") from None
    prompt, answer = (vocabulary.written(ids) for ids in (laid.ids[: laid.answer], laid.ids[laid.answer :]))
    told = {"id": cut.id, "task": layout.name, "prefix": prefix, "plain_text": prompt + answer}
    return json.dumps({**told, "prompt": prompt, "answer": answer}, ensure_ascii=False) + "\n"


def _num_whole_lines(path: Path) -> int:
    """Lines of an unfinished file, of which the last is cut off where a kill left half of it."""
    if not path.is_file():
        return 0
    number, end = 0, 0
    with open(path, "r+b") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                number, end = number + 1, end + len(line)
        stream.truncate(end)
    return number


def write_file(
    path: Path, cuts: Iterable[Cut], spec: FeatureSpec, layouts: Sequence[Layout], prefix: str, origin: Provenance
) -> int:
    """Write the lines of all cuts, or what is missing of them; return how many the file has, 0 if it was there before.

    Args:
      path: of the file. spec: of the codes. origin: what the file is made from; it is kept beside it.
    Raises:
      ValueError: if the features are no codes, there is not one line to write, or the file is there and was made from
        something else.
    """
    if spec.kind != "codes":
        raise ValueError(f"'{spec.name}' has {spec.kind}, expected codes; give the folder of another feature type.")
    record, unfinished = path.with_name(f"{path.name}.origin.json"), path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with at_work(path.with_name(f"{LOCK_FILE}-{path.name}"), str(path)):
        before = Provenance.read_if_there(record)
        if before is None and path.exists():
            raise ValueError(f"{path} is there and was not written by this; give another name as --out.")
        if before is not None and path.exists():
            origin.require_same(before, f"{path} was written", "give another name as --out")
            return 0
        if before is not None and not origin.is_same(before):  # what was begun otherwise is of no use
            unfinished.unlink(missing_ok=True)
        number = _num_whole_lines(unfinished)
        origin.write(record)
        if number:
            LOG.info(f"{path}: going on behind {number} lines")
        with open(unfinished, "ab") as stream:
            for place, (cut, layout) in enumerate(sequences(cuts, layouts)):
                if place >= number:
                    stream.write(line_of(cut, layout, spec, prefix).encode("utf-8"))
                    number += 1
        if not number:
            for left in (unfinished, record):
                left.unlink()
            names = ", ".join(layout.name for layout in layouts)
            raise ValueError(f"{path}: no utterance can be laid out as {names}; give another split or layout.")
        os.replace(unfinished, path)
    return number
