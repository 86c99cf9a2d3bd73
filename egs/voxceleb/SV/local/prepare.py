#!/usr/bin/env python3
"""Stage 1: VoxCeleb1, for verification -> lhotse cuts, `voxceleb_verification_cuts_{train,dev,test}.jsonl.gz`.

A list of trials holds a line `<1 or 0> <speaker>/<video>/<number>.wav <speaker>/<video>/<number>.wav`, 1 where both are
of one speaker. Its speakers are test, and of them the utterances that it names; all others in wav/ are training, but
for one video of each, which is dev. The list goes to trials/test.txt, with ids of cuts.
"""

import dataclasses
import re
from pathlib import Path
from typing import Dict, List, Optional

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.data.class_corpora import Listed, check_classes, cuts_of, require_audio
from icefall_discrete.data.manifests import CorpusError, require_count, require_paths, write_split
from icefall_discrete.data.trials import Trial, check_trials, read_trials, trials_path, write_trials

CORPUS = "voxceleb_verification"
TRIALS = {"veri_test.txt": 37720, "veri_test2.txt": 37611}
TEST_SPEAKERS, TRAIN_SPEAKERS, TRAIN_UTTERANCES = 40, 1211, 148642  # of training and dev together
ADVICE = "unpack vox1_dev_wav.zip and vox1_test_wav.zip into it again"
_NAME = re.compile(r"(?P<speaker>id\d{5})/(?P<video>[\w-]+)/(?P<number>\d+)\.wav")


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Where everything lies."""

    corpus_dir: str = setting("download/voxceleb1", "folder of the corpus, which holds wav/ and the list of trials")
    data_dir: str = setting("data", "output folder; manifests go to its manifests/, trials of test to its trials/")
    trial_list: str = setting("veri_test2.txt", "name of the list of trials")
    check_counts: bool = setting(True, "refuse numbers of trials, speakers and utterances that are not the published")
    nj: int = setting(2, "processes that read headers of audio")


def id_of(name: str) -> Optional[str]:
    """The id of an utterance, `<speaker>-<video>-<number>`, by its path below wav/; None if it is no such path."""
    found = _NAME.fullmatch(name)
    return "-".join(found.groups()) if found else None


def speaker_of(name: str) -> str:
    """The speaker, by the id of an utterance."""
    return name.partition("-")[0]


def utterances_in(folder: Path) -> Dict[str, Listed]:
    """The utterances of wav/ by id; files of other names count for nothing."""
    found: Dict[str, Listed] = {}
    for path in sorted(folder.glob("*/*/*.wav")):
        parts = _NAME.fullmatch(path.relative_to(folder).as_posix())
        if parts is not None:
            found["-".join(parts.groups())] = Listed(path, {"video": parts["video"]}, speaker=parts["speaker"])
    return found


def divided(every: Dict[str, Listed], trials: List[Trial], wav: Path) -> Dict[str, Dict[str, Listed]]:
    """Utterances by split: those of trials are test, of every other speaker the first video by name is dev."""
    named = sorted({name for trial in trials for name in trial[1:]})
    tested, first = {speaker_of(name) for name in named}, {}
    others = {name: one for name, one in every.items() if one.speaker not in tested}
    for one in others.values():
        first[one.speaker] = min(one.custom["video"], first.get(one.speaker, one.custom["video"]))
    splits: Dict[str, Dict[str, Listed]] = {"train": {}, "dev": {}, "test": {}}
    for name, one in others.items():
        splits["dev" if one.custom["video"] == first[one.speaker] else "train"][name] = one
    for name in named:
        speaker, rest = name.split("-", 1)
        video, number = rest.rsplit("-", 1)
        splits["test"][name] = Listed(wav / speaker / video / f"{number}.wav", {"video": video}, speaker=speaker)
    return splits


def check_numbers(splits: Dict[str, Dict[str, Listed]], trials: List[Trial], config: PrepareConfig) -> None:
    """Raise CorpusError if the corpus has other numbers than its publishers say."""
    advice = f"{ADVICE}, or fetch the list again; --check-counts false goes on all the same"
    if config.trial_list in TRIALS and len(trials) != TRIALS[config.trial_list]:
        raise CorpusError(
            f"{config.trial_list} has {len(trials)} trials, the published list has {TRIALS[config.trial_list]}; "
            f"{advice}."
        )
    learnt = {**splits["train"], **splits["dev"]}
    for what, utterances, published in (
        ("training", learnt, TRAIN_SPEAKERS),
        (f"the trials of {config.trial_list}", splits["test"], TEST_SPEAKERS),
    ):
        number = len({one.speaker for one in utterances.values()})
        if number != published:
            raise CorpusError(f"{what}: {number} speakers, the published corpus has {published}; {advice}.")
    require_count("wav/, but for the speakers of trials,", len(learnt), TRAIN_UTTERANCES, advice)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus is not whole, or the list of trials cannot be followed.
    """
    corpus_dir, data_dir = Path(config.corpus_dir), Path(config.data_dir)
    require_paths(corpus_dir, (config.trial_list, "wav"), ADVICE)
    path = corpus_dir / config.trial_list
    trials = read_trials(path, id_of)
    splits = divided(utterances_in(corpus_dir / "wav"), trials, corpus_dir / "wav")
    if config.check_counts:
        check_numbers(splits, trials, config)
    learnt = {split: {name: one.speaker for name, one in splits[split].items()} for split in ("train", "dev")}
    check_classes("speaker", learnt)
    check_trials(str(path), trials, {name: speaker_of(name) for name in splits["test"]})
    for split, utterances in splits.items():
        require_audio(split, {name: one.audio for name, one in utterances.items()}, ADVICE)
    cuts = {split: list(cuts_of(utterances, config.nj)) for split, utterances in splits.items()}
    check_trials(str(path), trials, {cut.id: speaker_of(cut.id) for cut in cuts["test"]})  # what can be read
    for split in splits:
        write_split(data_dir / "manifests", CORPUS, split, cuts[split], required=("speaker",))
    write_trials(trials_path(data_dir / "trials", "test"), trials)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
