"""From settings to scorers: what `--lm`, `--lodr` and `--context-file` add to a beam search."""

from pathlib import Path
from typing import Callable, List, Optional, Sequence

import torch

from icefall_discrete.decoding.hotwords import read_context_file
from icefall_discrete.decoding.lm_scorers import NeuralScorer, ngram_scorer
from icefall_discrete.decoding.scorer import Scorer, SumScorer
from icefall_discrete.decoding.settings import FusionConfig
from icefall_discrete.lm.arpa import NgramModel
from icefall_discrete.lm.folder import files_of, load_language_model
from icefall_discrete.text.pieces import UNK_ID, TextEncoder


class Fusion:
    """The language models and phrases of a decoding, read once; `scorer` gives those of a batch.

    Args:
      config: what to use. bpe_model: the experiment's pieces. device: of the search.
      scores_end: whether language models score the end of a sentence, as searches from label to label want it.

    Raises:
      FileNotFoundError, ValueError: if something does not exist or does not fit the pieces.
    """

    def __init__(self, config: FusionConfig, bpe_model: Path, device: torch.device, scores_end: bool = False) -> None:
        self._config, self._device = config, device
        encoder = TextEncoder(bpe_model)
        self._vocab_size = encoder.vocab_size
        self._made: List[Callable[[], Scorer]] = []
        self._scales: List[float] = []
        for path, scale in ((config.lm, config.lm_scale), (config.lodr, -config.lodr_scale)):
            if path:
                self._made.append(_lm_scorers(Path(path), bpe_model, encoder.pieces(), device, scores_end))
                self._scales.append(scale)
        self._phrases = None
        if config.context_file:
            context = Path(config.context_file)
            score, pieces = config.context_score, encoder.pieces()
            self._phrases = read_context_file(context, encoder.encode, score, UNK_ID, pieces)

    def scorer(self, cut_ids: Sequence[str]) -> Optional[Scorer]:
        """The scorer for a batch of cuts, of its own; None if nothing was asked for."""
        scorers, scales = [make() for make in self._made], list(self._scales)
        if self._phrases is not None:
            scorers.append(self._phrases.scorer(cut_ids, self._vocab_size, self._device))
            scales.append(1.0)
        return SumScorer(scorers, scales) if scorers else None

    def of_one(self, cut_id: str) -> Optional[Scorer]:
        """The scorer for a search of its own in one cut, or stream."""
        return self.scorer([cut_id])


def fusion_files(config: FusionConfig) -> List[Path]:
    """The files on which the result of a decoding with `config` depends."""
    models = [file for path in (config.lm, config.lodr) if path for file in files_of(path)]
    return models + ([Path(config.context_file)] if config.context_file else [])


def _lm_scorers(
    path: Path, bpe_model: Path, pieces: List[str], device: torch.device, scores_end: bool
) -> Callable[[], Scorer]:
    """What makes a scorer of a language model, as many as there are searches: a neural one remembers what it read."""
    found = load_language_model(path, bpe_model)
    if isinstance(found.model, NgramModel):
        shared = ngram_scorer(found.model, pieces, found.where, device, scores_end)
        return lambda: shared
    network = found.model.to(device)
    return lambda: NeuralScorer(network, scores_end)
