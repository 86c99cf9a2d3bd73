"""What a trained generator says: the best symbol of each run, or a search with the n-gram model of the text.

The search is the house's prefix beam search of CTC with silence as the blank, as published decodings have it: a symbol
that follows itself needs silence in between.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.settings import check_settings, from_dict, setting, to_dict
from icefall_discrete.base.shapes import COUNTS, OBJECT, TEXTS, WHOLE, Shape, read_shaped
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from icefall_discrete.decoding.lm_scorers import ngram_scorer
from icefall_discrete.decoding.modified_beam import BeamConfig
from icefall_discrete.decoding.scorer import SumScorer
from icefall_discrete.lm.arpa import read_arpa, write_arpa
from icefall_discrete.systems.wav2vec_u.config import Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import Judge
from icefall_discrete.systems.wav2vec_u.network import best_symbols
from icefall_discrete.systems.wav2vec_u.system import Sizes, Wav2vecUSystem, build_network
from icefall_discrete.systems.wav2vec_u.text import Text
from icefall_discrete.systems.wav2vec_u.training import SEEDS_DIR, TABLE, WEIGHTS
from icefall_discrete.text.pieces import SPECIAL_PIECES, UNK_ID
from icefall_discrete.training.system import Batch

MODEL, ARPA, SPEC = "wav2vec_u.json", "lm.arpa", "spec.json"
_TRAIN = "train it with train_unsupervised.py"
# Searches number labels from 3, as text pieces are numbered; the places between have this score.
_NOT_SAID = -1e4


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and COUNTS.fits(pair[0]) and WHOLE.fits(pair[1]) for pair in value
    )


_SIZES = Shape("three whole numbers from 0", lambda value: COUNTS.fits(value) and len(value) == 3)
_WORDS = Shape("a list of words, each its symbols and how often it occurs", _are_words)
_SHAPES = {"config": OBJECT, "symbols": TEXTS, "sizes": _SIZES, "words": _WORDS}


@dataclasses.dataclass(frozen=True)
class SayConfig:
    """How symbols are looked for."""

    beam_size: int = setting(
        0, "prefixes that the search with the n-gram model keeps; 0: the best symbol of each run", minimum=0
    )
    lm_scale: float = setting(0.5, "weight of the n-gram model in it", minimum=0)
    silence_penalty: float = setting(0.0, "nats taken off silence in it")

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def name(self) -> str:
        """What files of this search are called."""
        searched = f"beam{self.beam_size}_lm{self.lm_scale:g}"
        penalty = f"_sil{self.silence_penalty:g}" if self.silence_penalty else ""
        return searched + penalty if self.beam_size else "greedy"


def keep_model(folder: Path, config: Wav2vecUConfig, text: Text, sizes: Sizes, judge: Judge) -> None:
    """Write what speaking needs besides weights: settings, symbols, words and the n-gram model."""
    words = sorted({tuple(word) for line in text.lines for word in line})
    counts: Dict[Tuple[int, ...], int] = dict.fromkeys(words, 0)
    for line in text.lines:
        for word in line:
            counts[tuple(word)] += 1
    kept = {
        "config": to_dict(config),
        "symbols": text.symbols,
        "sizes": list(sizes),
        "words": [[list(word), counts[word]] for word in words],
    }
    write_arpa(folder / ARPA, judge.model)
    write_json(folder / MODEL, kept)


class _Output(NamedTuple):
    """A network as searches see one: it gives the scores that it is given."""

    ctc_output: nn.Module
    blank_id: int = 0


class Speaker:
    """The chosen seed of a folder, or another one.

    Raises:
      FileNotFoundError: if there is none. ValueError: if the weights are of another shape.
    """

    def __init__(self, folder: Path, seed: int = -1) -> None:
        kept = read_shaped(folder / MODEL, _SHAPES, _TRAIN)
        self.config = from_dict(Wav2vecUConfig, kept["config"], str(folder / MODEL))
        self.symbols: List[str] = kept["symbols"]
        self.words = {tuple(word): int(count) for word, count in kept["words"]}
        self.spec = FeatureSpec.read(folder / SPEC)
        self.seed = seed if seed >= 0 else int(read_shaped(folder / TABLE, {"chosen": WHOLE}, _TRAIN)["chosen"])
        path = folder / SEEDS_DIR / str(self.seed) / WEIGHTS
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: seed {self.seed} was not trained; {_TRAIN}.")
        network = build_network(self.config, Sizes(*kept["sizes"]))
        try:
            network.generator.load_state_dict(
                {name.partition(".")[2]: value for name, value in read_tensors(path, _TRAIN).tensors.items()}
            )
        except RuntimeError:
            raise ValueError(f"{path} is not the model that {MODEL} tells of; {_TRAIN}.") from None
        self.system = Wav2vecUSystem(network, self.config).eval()
        self._arpa = folder / ARPA

    def say(self, batches: Iterable[Batch], config: SayConfig) -> Dict[str, List[int]]:
        """Symbols of each utterance, by its id."""
        found: Dict[str, List[int]] = {}
        search = self._search(config) if config.beam_size else None
        for batch in batches:
            said = self.system.say(batch, torch.device("cpu"))
            rows = best_symbols(said) if search is None else search(said.logits, said.lens)
            found.update(zip(batch["cut_ids"], rows))
        return found

    def _search(self, config: SayConfig) -> Any:
        names = [*SPECIAL_PIECES, "<unk>", *(str(symbol) for symbol in range(1, len(self.symbols)))]
        lm = ngram_scorer(read_arpa(self._arpa), names, str(self._arpa), torch.device("cpu"), scores_end=True)
        scorer = SumScorer([lm], [config.lm_scale])
        beam = BeamConfig(config.beam_size, blank_penalty=config.silence_penalty)

        def search(logits: Tensor, lens: Tensor) -> List[List[int]]:
            gap = logits.new_full((*logits.shape[:2], UNK_ID), _NOT_SAID)
            numbered = torch.cat([logits[..., :1], gap, logits[..., 1:]], dim=2)
            found = ctc_prefix_beam_search(_Output(nn.Identity()), numbered, lens, beam, scorer)  # type: ignore[arg-type]
            return [[label - UNK_ID for label in best[0].labels] for best in found]

        return search

    def require_text(self) -> None:
        """Raise ValueError if symbols are phones, of which no text can be made."""
        if self.config.text.front != "letters":
            raise ValueError("phones are no text; pseudo-labels need a model of letters (--front letters).")

    def as_text(self, symbols: Sequence[int]) -> str:
        """Symbols as words of the text where letters are symbols: the most probable division into its words.

        Raises:
          ValueError: see `require_text`.
        """
        self.require_text()
        divided = divide_into_words(symbols, self.words)
        return " ".join("".join(self.symbols[symbol] for symbol in word) for word in divided)


def divide_into_words(symbols: Sequence[int], counts: Dict[Tuple[int, ...], int]) -> List[List[int]]:
    """The division of symbols into words that is most probable if each word is drawn by its count.

    What is no word costs as much as the rarest word for each symbol and once more, and stays together as one.
    """
    total = sum(counts.values()) + 1
    longest = max(map(len, counts), default=1)
    nats = {word: -math.log(count / total) for word, count in counts.items()}
    unknown = max(nats.values(), default=1.0) + 1.0
    best: List[Tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(symbols) + 1):
        options = [(best[end - 1][0] + unknown, end - 1)]
        for start in range(max(0, end - longest), end):
            word = tuple(symbols[start:end])
            if word in nats:
                options.append((best[start][0] + nats[word], start))
        best.append(min(options))
    parts: List[List[int]] = []
    end, was_unknown = len(symbols), False
    while end:
        start = best[end][1]
        part = list(symbols[start:end])
        is_unknown = tuple(part) not in nats
        if is_unknown and was_unknown:
            parts[-1] = part + parts[-1]
        else:
            parts.append(part)
        end, was_unknown = start, is_unknown
    return parts[::-1]
