#!/usr/bin/env python3
"""Stage 1: VoiceBank + DEMAND -> lhotse cuts of noisy speech, `voicebank_demand_cuts_{train,dev,test}.jsonl.gz`, and of
the clean speech by the same ids, `..._<split>-clean.jsonl.gz`.

Two speakers of the training set are dev, as in SpeechBrain's and DASB's recipes.
"""

import dataclasses
from pathlib import Path
from typing import Dict, Sequence, Tuple

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.manifests import CorpusError, require_pairs, require_paths
from icefall_discrete.data.mixture_corpora import Mixture, Source, write_mixtures
from icefall_discrete.text.plain_words import plain_words

ADVICE = "unpack the archives of https://doi.org/10.7488/ds/2117 again"
TRAIN, TEST = "trainset_28spk", "testset"


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies, and who is dev."""

    corpus_dir: str = setting("download/voicebank_demand", "folder of the corpus, which holds clean_testset_wav/ ...")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/")
    dev_speakers: Tuple[str, ...] = setting(("p226", "p287"), "speakers of the training set that are dev")
    nj: int = setting(2, "processes that read headers of audio")


def read_set(corpus_dir: Path, name: str) -> Dict[str, Mixture]:
    """Utterances of a set by id. Raises CorpusError if a noisy one has no clean one, or the other way round."""
    noisy, clean = (
        {path.stem: path for path in (corpus_dir / f"{kind}_{name}_wav").glob("*.wav")} for kind in ("noisy", "clean")
    )
    require_pairs(f"clean_{name}_wav and noisy_{name}_wav", set(clean), set(noisy), ADVICE)
    found = {}
    for utterance, path in sorted(clean.items()):
        said = corpus_dir / f"{name}_txt" / f"{utterance}.txt"
        text = plain_words(read_text(said), "en") if said.is_file() else None
        source = Source(path, text or None, utterance.partition("_")[0])
        found[utterance] = Mixture(noisy[utterance], {"clean": source}, "en")
    return found


def parted(mixtures: Dict[str, Mixture], speakers: Sequence[str]) -> Tuple[Dict[str, Mixture], Dict[str, Mixture]]:
    """Those of other speakers, and those of `speakers`. Raises CorpusError if a speaker is not there."""
    known = {one.sources["clean"].speaker for one in mixtures.values()}
    unknown = sorted(set(speakers) - known)
    if unknown:
        raise CorpusError(f"dev speaker {unknown[0]} has no utterance in {TRAIN}; set --dev-speakers, or {ADVICE}.")
    mine = {name for name, one in mixtures.items() if one.sources["clean"].speaker in speakers}
    return tuple({name: one for name, one in mixtures.items() if (name in mine) == is_dev} for is_dev in (False, True))


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage. Raises CorpusError if the corpus is not whole."""
    corpus_dir = Path(config.corpus_dir)
    require_paths(corpus_dir, [f"{kind}_{name}_wav" for name in (TRAIN, TEST) for kind in ("clean", "noisy")], ADVICE)
    train, dev = parted(read_set(corpus_dir, TRAIN), config.dev_speakers)
    splits = {"train": train, "dev": dev, "test": read_set(corpus_dir, TEST)}
    write_mixtures(Path(config.data_dir) / "manifests", "voicebank_demand", splits, config.nj, ADVICE)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
