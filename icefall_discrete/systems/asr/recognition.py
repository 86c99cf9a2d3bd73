"""Cuts in, transcripts out: batches, encoder, search and text, with a progress bar and a count of what is too short."""

import dataclasses
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from lhotse import CutSet
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.device import device_setting, resolve
from icefall_discrete.base.environment import peak_memory_mib
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import num_frames, text_of
from icefall_discrete.data.dataset import batch_key
from icefall_discrete.data.loaders import LoaderConfig, make_test_batches
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.decoding.scorer import Scorer
from icefall_discrete.decoding.search import search_nbest
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in

ScorerOfBatch = Callable[[Dict[str, Any]], Optional[Scorer]]


@dataclasses.dataclass(frozen=True)
class TranscribeConfig:
    """How decoding runs; it does not change what is recognised."""

    max_duration: float = setting(200.0, "largest total duration of a batch, in seconds of audio", above=0)
    device: str = device_setting("where it decodes")
    num_threads: int = setting(0, "threads of torch; 0: as the environment says", minimum=0)

    def torch_device(self) -> torch.device:
        """The device to decode on. Raises ValueError if CUDA is asked for and absent."""
        return resolve(self.device, "decoding")


def transcribe(
    model: Any,
    cuts: CutSet,
    spec: FeatureSpec,
    text_encoder: TextEncoder,
    config: DecodeConfig,
    run: TranscribeConfig,
    title: Optional[str] = None,
) -> Tuple[List[Transcript], Dict[str, Any]]:
    """Recognise every cut, without outside knowledge; arguments and facts are those of `recognise`.

    Returns:
      transcripts in the order of `cuts`, and facts.
    """
    found, facts = recognise(model, cuts, spec, config, run, title)
    return transcripts_of(cuts, found, text_encoder), facts


def recognise(
    model: Any,
    cuts: CutSet,
    spec: FeatureSpec,
    config: DecodeConfig,
    run: TranscribeConfig,
    title: Optional[str] = None,
    scorer_of: Optional[ScorerOfBatch] = None,
) -> Tuple[Dict[str, List[Hypothesis]], Dict[str, Any]]:
    """Find the hypotheses of every cut; one that is too short for the model's front end has none.

    Args:
      model: a Transducer in evaluation mode, on the device of `run`. spec: what the cuts hold.
      title: of the progress bar; None shows no bar. scorer_of: gives the scorer for a batch; None: no scorer.
    Returns:
      `config.nbest` hypotheses by cut id, best first, and facts: num_utterances, num_too_short (and `too_short`, their
      ids), audio_sec, wall_sec, decode_rtf (their ratio; the reading of codes is in it) and peak_memory_mib.
    """
    device = run.torch_device()
    every = list(cuts)
    short = [c.id for c in every if model.config.num_encoder_frames(num_frames(c, spec), spec) < 1]
    kept = [cut for cut in every if cut.id not in set(short)]
    audio_sec = sum(cut.duration for cut in every)
    found: Dict[str, List[Hypothesis]] = {}
    began = time.monotonic()
    with tqdm(total=round(audio_sec), desc=title, unit="s audio", disable=title is None) as bar:
        if kept:
            for batch in make_test_batches(CutSet.from_cuts(kept), LoaderConfig(max_duration=run.max_duration), spec):
                scorer = scorer_of(batch) if scorer_of is not None else None
                frames, lens = batch[batch_key(spec)].to(device), batch["frame_lens"].to(device)
                found.update(zip(batch["cut_ids"], _search_batch(model, frames, lens, config, scorer)))
                bar.update(round(float(batch["duration_sec"].sum())))
    wall_sec = time.monotonic() - began
    return found, {
        "num_utterances": len(every),
        "num_too_short": len(short),
        "too_short": short,
        "audio_sec": audio_sec,
        "wall_sec": wall_sec,
        "decode_rtf": wall_sec / audio_sec if audio_sec else None,
        "peak_memory_mib": peak_memory_mib(),
    }


@torch.no_grad()
def _search_batch(
    model: Any, frames: Tensor, frame_lens: Tensor, config: DecodeConfig, scorer: Optional[Scorer]
) -> List[List[Hypothesis]]:
    encoded = model.encode(frames, frame_lens)
    return search_nbest(config.decoding_method, model, encoded.encoder_out, encoded.lens, config, scorer)


def transcripts_of(cuts: CutSet, found: Dict[str, List[Hypothesis]], text_encoder: TextEncoder) -> List[Transcript]:
    """The best hypothesis of each cut as words, in the order of `cuts`."""

    def words(cut_id: str) -> Tuple[str, ...]:
        return tuple(words_in(text_encoder.decode(found[cut_id][0].labels))) if cut_id in found else ()

    return [Transcript(cut.id, tuple(words_in(text_of(cut))), words(cut.id)) for cut in cuts]


def language_by_cut(cuts: CutSet) -> Dict[str, str]:
    """Language of each cut's first supervision; "unknown" where none is given."""
    return {cut.id: (cut.supervisions[0].language if cut.supervisions else None) or "unknown" for cut in cuts}
