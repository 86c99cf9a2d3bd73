#!/usr/bin/env python3
"""Stage 1: fetched corpus -> 16 kHz FLAC and validated lhotse manifests, `asterisk_cuts_{train,dev,test}.jsonl.gz`.

One utterance per prompt that has audio, a transcript with words, and 0.3 to 20 s. Audio is decoded once; a rerun
decodes only what is missing.
"""

import collections
import dataclasses
import functools
import io
import logging
import multiprocessing
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Tuple

import av
import numpy as np
import soundfile
from asterisk_text import LANGUAGES, SPLITS, is_silence, normalize, parse_transcript, split_of, utterance_id
from corpus_folder import (
    CHECKSUMS,
    SAMPLE_RATE_HZ,
    SAMPLES_PER_BYTE,
    CorpusError,
    md5_of,
    read_checksums,
    transcript_path,
)
from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
from tqdm import tqdm

from icefall_discrete.base.atomic_files import write_bytes
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data.manifests import write_split

EXPECTED_UTTERANCES = {
    "en": (453, 49, 44),
    "es": (383, 46, 37),
    "fr": (419, 45, 36),
    "it": (469, 51, 50),
    "ru": (449, 49, 46),
}
EXPECTED_TEST_WORDS = 1043


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Which prompts become utterances, and where everything lies."""

    corpus_dir: str = setting("download/asterisk", "corpus folder that stage 0 made")
    data_dir: str = setting("data", "output folder; audio goes to its audio/, manifests to its manifests/")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to prepare")
    min_duration: float = setting(0.3, "shortest utterance (s); part of the corpus's definition")
    max_duration: float = setting(20.0, "longest utterance (s); part of the corpus's definition")
    subset: int = setting(0, "keep only about this many utterances a split, balanced over languages; 0 keeps all")
    subset_max_duration: float = setting(4.0, "longest utterance of a subset (s)")
    nj: int = setting(2, "processes that decode audio")
    check_counts: bool = setting(True, "refuse a full corpus whose counts differ from the published definition")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One recorded prompt that becomes an utterance."""

    language: str
    prompt_id: str
    written: str
    text: str
    source: Path
    md5: str
    audio: Path

    @property
    def id(self) -> str:
        return utterance_id(self.language, self.prompt_id)

    @property
    def split(self) -> str:
        return split_of(self.prompt_id)

    @property
    def num_samples(self) -> int:
        return self.source.stat().st_size * SAMPLES_PER_BYTE

    @property
    def duration(self) -> float:
        """Duration in seconds."""
        return self.num_samples / SAMPLE_RATE_HZ


def read_language(folder: Path, config: PrepareConfig, drops: collections.Counter) -> List[Prompt]:
    """Return the prompts of a language that are utterances; count the others by reason in `drops`.

    Raises:
      CorpusError: if a file of the folder is missing.
    """
    language = folder.name
    transcript = transcript_path(folder)
    checksums = read_checksums(folder)
    if not transcript.is_file():
        raise CorpusError(f"{transcript} is missing; move {folder} aside and run stage 0 again.")
    texts = parse_transcript(read_text(transcript), str(transcript))
    sounds = {path[len("sounds/") : -len(".g722")] for path in checksums if path.endswith(".g722")}
    drops["audio without transcript"] += len(sounds - set(texts))
    audio_dir = Path(config.data_dir).resolve() / "audio" / language
    kept = []
    for prompt_id in sorted(texts):
        path = f"sounds/{prompt_id}.g722"
        prompt = Prompt(
            language=language,
            prompt_id=prompt_id,
            written=texts[prompt_id],
            text=normalize(texts[prompt_id], language),
            source=folder / path,
            md5=checksums.get(path, ""),
            audio=audio_dir / f"{prompt_id}.flac",
        )
        reason = _drop_reason(prompt, prompt_id in sounds, config)
        drops[reason] += 1
        if reason == "kept":
            path_inside(audio_dir, prompt_id, f"{transcript}: the id of a prompt", ".flac")
            kept.append(prompt)
    return kept


def _drop_reason(prompt: Prompt, has_audio: bool, config: PrepareConfig) -> str:
    if not has_audio:
        return "transcript without audio"
    if is_silence(prompt.prompt_id):
        return "recorded silence"
    if not prompt.text:
        return "no words"
    if not prompt.source.is_file():
        raise CorpusError(
            f"{prompt.source} is missing, but {CHECKSUMS} lists it; move the language's folder aside and run stage 0 "
            "again."
        )
    if prompt.duration < config.min_duration:
        return f"shorter than {config.min_duration:g} s"
    if prompt.duration > config.max_duration:
        return f"longer than {config.max_duration:g} s"
    return "kept"


def take_subset(prompts: Iterable[Prompt], size: int, max_duration: float) -> List[Prompt]:
    """Return about `size` short prompts of each split, the languages taking turns; the same ones every time."""
    queues: Dict[Tuple[str, str], List[Prompt]] = collections.defaultdict(list)
    for prompt in sorted(prompts, key=lambda p: (p.md5, p.id)):  # fixed, and nothing to do with the text
        if prompt.duration <= max_duration:
            queues[prompt.split, prompt.language].append(prompt)
    kept = []
    for split in SPLITS:
        turns = [queues[key] for key in sorted(queues) if key[0] == split]
        taken = [queue[i] for i in range(size) for queue in turns if i < len(queue)]
        kept += taken[:size]
    return sorted(kept, key=lambda p: p.id)


def read_g722(path: Path) -> np.ndarray:
    """Decode a headerless G.722 file to int16 samples (S,) at 16 kHz."""
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.int16, copy=False)


def decode_prompt(prompt: Prompt) -> None:
    """Verify a prompt's .g722 and write it as FLAC, unless that was done before.

    Raises:
      CorpusError: if the .g722 is not the published one, naming it.
    """
    actual = md5_of(prompt.source)
    if actual != prompt.md5:
        raise CorpusError(
            f"{prompt.source} is damaged ({prompt.source.stat().st_size} bytes, MD5 {actual}, but {CHECKSUMS} says "
            f"{prompt.md5}): truncated or changed; move its language's folder aside and run stage 0 again."
        )
    if prompt.audio.is_file() and soundfile.info(prompt.audio).frames == prompt.num_samples:
        return
    samples = read_g722(prompt.source)
    if len(samples) != prompt.num_samples:
        raise CorpusError(f"{prompt.source}: decoded {len(samples)} samples, expected {prompt.num_samples}.")
    encoded = io.BytesIO()  # libsndfile says nothing of a full disk
    soundfile.write(encoded, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    write_bytes(prompt.audio, encoded.getvalue())


def decode_all(prompts: List[Prompt], num_jobs: int) -> None:
    """Decode every prompt in `num_jobs` processes, with a progress bar."""
    bar = functools.partial(tqdm, total=len(prompts), desc="decode G.722", unit="file", mininterval=1.0)
    if num_jobs <= 1:
        for prompt in bar(prompts):
            decode_prompt(prompt)
        return
    with multiprocessing.Pool(num_jobs) as pool:
        for _ in bar(pool.imap_unordered(decode_prompt, prompts, chunksize=16)):
            pass


def make_cut(prompt: Prompt) -> MonoCut:
    """Return the cut of a prompt, with its recording and supervision."""
    recording = Recording(
        id=prompt.id,
        sources=[AudioSource(type="file", channels=[0], source=str(prompt.audio))],
        sampling_rate=SAMPLE_RATE_HZ,
        num_samples=prompt.num_samples,
        duration=prompt.duration,
    )
    supervision = SupervisionSegment(
        id=prompt.id,
        recording_id=prompt.id,
        start=0.0,
        duration=prompt.duration,
        channel=0,
        text=prompt.text,
        language=prompt.language,
        speaker=f"asterisk-{prompt.language}",
        custom={"written": prompt.written, "prompt_id": prompt.prompt_id},
    )
    return MonoCut(
        id=prompt.id,
        start=0.0,
        duration=prompt.duration,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )


def table(prompts: List[Prompt], languages: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a table: utterances per language and split, then hours and words per split."""
    count = collections.Counter((p.language, p.split) for p in prompts)
    yield f"{'':8}" + "".join(f"{split:>9}" for split in SPLITS)
    for language in languages:
        yield f"{language:8}" + "".join(f"{count[language, split]:9d}" for split in SPLITS)
    in_split = {split: [p for p in prompts if p.split == split] for split in SPLITS}
    yield f"{'all':8}" + "".join(f"{len(in_split[s]):9d}" for s in SPLITS)
    yield f"{'hours':8}" + "".join(f"{sum(p.duration for p in in_split[s]) / 3600:9.2f}" for s in SPLITS)
    yield f"{'words':8}" + "".join(f"{sum(len(p.text.split()) for p in in_split[s]):9d}" for s in SPLITS)


def check_counts(prompts: List[Prompt], languages: Iterable[str]) -> None:
    """Compare with the published definition of the corpus.

    Raises:
      CorpusError: at the first difference.
    """
    count = collections.Counter((p.language, p.split) for p in prompts)
    for language in languages:
        actual = tuple(count[language, split] for split in SPLITS)
        if actual != EXPECTED_UTTERANCES[language]:
            raise CorpusError(
                f"'{language}' has {actual} utterances in {'/'.join(SPLITS)}, the published corpus has "
                f"{EXPECTED_UTTERANCES[language]}: this is another release, or num2words speaks differently. Results "
                "would not be comparable; --check-counts false goes on all the same."
            )
    words = sum(len(p.text.split()) for p in prompts if p.split == "test")
    if set(languages) == set(LANGUAGES) and words != EXPECTED_TEST_WORDS:
        raise CorpusError(
            f"the test split has {words} words, the published corpus has {EXPECTED_TEST_WORDS}; "
            "--check-counts false goes on all the same."
        )


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage.

    Raises:
      CorpusError: if the corpus folder is missing, damaged or another release.
    """
    corpus_dir = Path(config.corpus_dir)
    if not corpus_dir.is_dir():
        raise CorpusError(f"the corpus folder {corpus_dir} does not exist; run stage 0, or give it with --corpus-dir.")
    drops: collections.Counter = collections.Counter()
    prompts = [p for language in config.languages for p in read_language(corpus_dir / language, config, drops)]
    if config.check_counts:
        check_counts(prompts, config.languages)
    if config.subset:
        prompts = take_subset(prompts, config.subset, config.subset_max_duration)
    decode_all(prompts, config.nj)
    for split in SPLITS:
        cuts = (make_cut(prompt) for prompt in prompts if prompt.split == split)
        write_split(Path(config.data_dir) / "manifests", "asterisk", split, cuts)
    for reason, number in drops.most_common():
        logging.info(f"prompts {reason}: {number}")
    for line in table(prompts, config.languages):
        logging.info(line)


def main() -> None:
    config = config_from_flags(PrepareConfig, __doc__)
    prepare(config)


if __name__ == "__main__":
    run_script(main)
