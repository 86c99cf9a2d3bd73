#!/usr/bin/env python3
"""Stage 1: fetched corpus -> 16 kHz FLAC and validated lhotse manifests, `asterisk_cuts_{train,dev,test}.jsonl.gz`.

One utterance per prompt that has audio, a transcript with words, and 0.3 to 20 s. Audio is decoded once; a rerun
decodes only what is missing.
"""

import collections
import dataclasses
from pathlib import Path
from typing import List, Tuple

import av
import numpy as np
from asterisk_text import LANGUAGES, is_silence, normalize, parse_transcript, utterance_id
from corpus_folder import SAMPLE_RATE_HZ, SAMPLES_PER_BYTE, transcript_path
from lhotse import MonoCut

from icefall_discrete.audio.writing import holds_samples, write_flac
from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import setting
from icefall_discrete.base.text_files import read_text
from icefall_discrete.data import small_corpora
from icefall_discrete.data.checked_folders import CHECKSUMS, read_checksums
from icefall_discrete.data.manifests import CorpusError, md5_of

PUBLISHED = small_corpora.Published(
    utterances={
        "en": (453, 49, 44),
        "es": (383, 46, 37),
        "fr": (419, 45, 36),
        "it": (469, 51, 50),
        "ru": (449, 49, 46),
    },
    test_words=1043,
)


@dataclasses.dataclass(frozen=True)
class PrepareConfig(small_corpora.PrepareConfig):
    """Which prompts become utterances, and where everything lies."""

    corpus_dir: str = setting("download/asterisk", "corpus folder that stage 0 made")
    languages: Tuple[str, ...] = setting(LANGUAGES, "languages to prepare")


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
        """The same in every language, so that no test sentence is trained in translation."""
        return small_corpora.split_of(self.prompt_id)

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
    return config.why_not(prompt.duration) or "kept"


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
    if holds_samples(prompt.audio, prompt.num_samples):
        return
    samples = read_g722(prompt.source)
    if len(samples) != prompt.num_samples:
        raise CorpusError(f"{prompt.source}: decoded {len(samples)} samples, expected {prompt.num_samples}.")
    write_flac(prompt.audio, samples, SAMPLE_RATE_HZ)


def make_cut(prompt: Prompt) -> MonoCut:
    """Return the cut of a prompt, with its recording and supervision."""
    custom = {"written": prompt.written, "prompt_id": prompt.prompt_id}
    speaker = f"asterisk-{prompt.language}"
    return small_corpora.file_cut(prompt, prompt.audio, prompt.num_samples, SAMPLE_RATE_HZ, speaker, custom)


def prepare(config: PrepareConfig) -> None:
    """Run the whole stage; see `small_corpora.prepare`."""
    corpus = small_corpora.SmallCorpus(
        "asterisk", PUBLISHED, lambda folder, drops: read_language(folder, config, drops), decode_prompt, make_cut
    )
    small_corpora.prepare(corpus, Path(config.corpus_dir), config.languages, config)


def main() -> None:
    prepare(config_from_flags(PrepareConfig, __doc__))


if __name__ == "__main__":
    run_script(main)
