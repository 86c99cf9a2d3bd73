"""The codes of all codebooks of a frame as one symbol: how Discrete BERT reads vq-wav2vec's two groups.

Baevski et al. 2020, https://arxiv.org/abs/1910.05453, section 4: of 102 400 possible pairs 13.5 thousand were in use.
The vocabulary is what training audio has, or a dictionary of fairseq; any other combination is the last code, unknown.
"""

import dataclasses
import functools
import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.composed.based import BasedTokenizer
from icefall_discrete.tokenizers.composed.composite import promise_of
from icefall_discrete.tokenizers.contract import AudioPairs, AudioRejected, SpeechTokenizer
from icefall_discrete.tokenizers.formats.code_dictionary import (
    Codes,
    as_symbol,
    read_dictionary,
    write_dictionary,
)

DICTIONARY_FILE = "dict.txt"


@dataclasses.dataclass(frozen=True)
class JointCodesConfig:
    """The codes of all codebooks of a frame as one symbol."""

    base: str = setting("", "Feature type of codes, a name or a path.")
    dictionary: str = setting(
        "", "Dictionary of fairseq (dict.txt, lines such as `13-207 4711`); empty: what the training audio has."
    )
    min_count: int = setting(1, "Frames of training audio that a combination has to be in, without it.", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


def symbols_sha256(symbols: Sequence[Codes]) -> str:
    """A hash of combinations in their order, by which a vocabulary is known again."""
    return hashlib.sha256("\n".join(map(as_symbol, symbols)).encode()).hexdigest()


class JointCodesTokenizer(BasedTokenizer):
    """Codes (T, 1) of V symbols, from codes (T, K) of another feature type; V - 1 stands for all that are unknown."""

    Config = JointCodesConfig
    needs_fit = True
    wants = "a feature type of several codebooks and a constant rate"

    @property
    def state_files(self) -> List[Path]:
        """The dictionary."""
        if self.state_dir is None:
            raise RuntimeError(f"feature type '{self.name}' needs fitting, but no state folder was given.")
        return [self.state_dir / DICTIONARY_FILE]

    @property
    def is_fitted(self) -> bool:
        """Whether the base is, and there is a dictionary."""
        return self.state_dir is not None and self.base.is_fitted and self.state_files[0].is_file()

    def _why_not(self, spec: FeatureSpec) -> str:
        if spec.has_variable_rate:
            return "a variable rate"
        return "one codebook" if spec.num_codebooks == 1 else ""

    @functools.cached_property
    def _symbols(self) -> List[Codes]:
        if not self.is_fitted:
            raise RuntimeError(
                f"feature type '{self.name}' is not fitted ({DICTIONARY_FILE} is missing in "
                f"{self.state_dir or 'any folder'}); run stage 2 first."
            )
        symbols = read_dictionary(self.state_files[0]).codes
        self._require_fits(symbols, str(self.state_files[0]))
        return symbols

    @functools.cached_property
    def _numbers(self) -> Dict[Codes, int]:
        return {codes: number for number, codes in enumerate(self._symbols)}

    def _require_fits(self, symbols: Sequence[Codes], where: str) -> None:
        sizes = self.base.spec.codebook_sizes
        for codes in symbols:
            if len(codes) != len(sizes) or any(code >= size for code, size in zip(codes, sizes)):
                raise ValueError(
                    f"{where} has the codes {as_symbol(codes)}, but '{self.base.name}' has codebooks of "
                    f"{', '.join(map(str, sizes))} entries; give the dictionary of those codes."
                )

    @property
    def spec(self) -> FeatureSpec:
        """One codebook, at the rate of the base. RuntimeError if not fitted."""
        base = self._part_specs()[0]
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=base.sample_rate_hz,
            frame_rate_hz=base.frame_rate_hz,
            num_codebooks=1,
            codebook_sizes=(len(self._symbols) + 1,),
            feature_dim=0,
            provenance={
                "tokenizer": self.tokenizer_name,
                "base": {"name": base.name, **promise_of(base)},
                "symbols_sha256": symbols_sha256(self._symbols),
            },
            made_with=self._made_with(),
        )

    def settings_to_save(self) -> Dict[str, Any]:
        """The base by its name, its own file lies beside; the dictionary is in the state."""
        return {"base": self.base.name}

    def codebooks(self) -> Optional[List[Tensor]]:
        """Of each symbol the vectors of its codes side by side; the unknown has their mean."""
        books = self.base.codebooks()
        if books is None:
            return None
        codes = torch.tensor(self._symbols)
        vectors = torch.cat([book[codes[:, place]] for place, book in enumerate(books)], dim=1)
        return [torch.cat([vectors, vectors.mean(dim=0, keepdim=True)])]

    def _encode_one(self, samples: Tensor) -> Tensor:
        rows = self._codes_of(samples, self.base).tolist()
        unknown = len(self._numbers)
        return torch.tensor([self._numbers.get(tuple(row), unknown) for row in rows]).unsqueeze(1)

    @staticmethod
    def _codes_of(samples: Tensor, base: SpeechTokenizer) -> Tensor:
        return base.encode(samples.unsqueeze(0), torch.tensor([len(samples)]))[0][0]

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Fit the base if it needs that, then take the dictionary, or count what frames of `audio` have.

        Raises:
          FileNotFoundError, ValueError: if the dictionary is none of these codes, or no audio can be used.
        """
        self._fit_parts(audio, state_dir, seed)
        self.state_dir = Path(state_dir)
        self._check_part(self.base.spec)
        for learnt in ("_symbols", "_numbers"):
            vars(self).pop(learnt, None)
        if self.config.dictionary:
            symbols = read_dictionary(Path(self.config.dictionary)).codes
            self._require_fits(symbols, self.config.dictionary)
            text = "".join(f"{as_symbol(codes)} 1\n" for codes in symbols)
        else:
            text = write_dictionary(self._counted(audio))
        write_text(self.state_dir / DICTIONARY_FILE, text)

    def _counted(self, audio: AudioPairs) -> Dict[Codes, int]:
        counts: Counter = Counter()
        for base, heard in self.base.heard_by(audio):
            for samples, cut_id in tqdm(heard, desc=f"codes for {self.name}", unit="cut"):
                try:
                    self.check_audio(samples, f"cut {cut_id}")
                except AudioRejected as error:
                    logging.warning("left out of the fit: %s", error)
                    continue
                counts.update(map(tuple, self._codes_of(samples, base).tolist()))
        kept = {codes: count for codes, count in counts.items() if count >= self.config.min_count}
        if not kept:
            raise ValueError(
                f"{self.name}: no combination of codes is in {self.config.min_count} frames; check the training cuts."
            )
        share = 100.0 * sum(kept.values()) / sum(counts.values())
        logging.info("%s: %d of %d combinations, %.2f %% of the frames", self.name, len(kept), len(counts), share)
        return kept
