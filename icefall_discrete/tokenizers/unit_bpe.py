"""Units without repetitions, and pieces of them: ESPnet's `rm` and sentencepiece over units, for shorter sequences.

The challenge on discrete speech units, https://arxiv.org/abs/2406.07725, counts the pieces, whatever they stand for.
Letters: T frames of the base, U units (runs of equal frames), P pieces, P <= U <= T.
"""

import dataclasses
import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.base.atomic_files import write_bytes, write_text
from icefall_discrete.base.settings import setting
from icefall_discrete.base.shapes import POSITIVE, TEXT, WHOLE, read_shaped
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.text.pieces import PathLike
from icefall_discrete.tokenizers.composed.based import BasedTokenizer
from icefall_discrete.tokenizers.composed.composite import promise_of
from icefall_discrete.tokenizers.contract import AudioPairs, AudioRejected, SpeechTokenizer
from icefall_discrete.tokenizers.formats.unit_pieces import MODEL_TYPES, UnitPieces, as_characters, runs, train_pieces

FACTS_FILE = "unit_bpe.json"
MODEL_FILE = "unit_bpe.model"
_STATED_SEC = 3600.0  # audio that a rate is written down for that was told, not measured


@dataclasses.dataclass(frozen=True)
class UnitBpeConfig:
    """Units without repetitions, and pieces of them."""

    base: str = setting("", "Feature type of one stream of units, a name or a path.")
    deduplicate: bool = setting(True, "Keep one of each run of equal units (ESPnet's `rm`; false: its `ts`).")
    bpe_vocab_size: int = setting(0, "Number of pieces, at least the units' V; 0: units are not joined to pieces.")
    bpe_model_type: str = setting("unigram", "sentencepiece's model: ESPnet's unigram, or bpe.", choices=MODEL_TYPES)

    def __post_init__(self) -> None:
        """Raise ValueError for settings that leave the units as they are."""
        if self.bpe_vocab_size < 0 or not (self.deduplicate or self.bpe_vocab_size):
            raise ValueError(
                f"deduplicate is {self.deduplicate} and bpe_vocab_size {self.bpe_vocab_size}, which leaves the units "
                "as they are; set either, or use the base feature type."
            )
        if self.bpe_model_type not in MODEL_TYPES:
            raise ValueError(f"bpe_model_type is '{self.bpe_model_type}'; known: {', '.join(MODEL_TYPES)}.")


class _State(NamedTuple):
    """What was learnt: pieces a second, and the pieces with the hash of their file, None without them."""

    frame_rate_hz: float
    pieces: Optional[UnitPieces]
    sha256: str


class UnitBpeTokenizer(BasedTokenizer):
    """Units of another feature type, without repetitions and joined to pieces: codes (P, 1) at a variable rate.

    The durations are the lengths of the runs, (U,) in frames of the base: with them `frames_of` gives the base's codes
    back, each one. The average rate is measured when it is fitted, on training audio.
    """

    Config = UnitBpeConfig
    needs_fit = True
    libraries = ("torch", "sentencepiece")
    wants = "a feature type of one codebook"

    def __init__(
        self, name: str, config: Any, state_dir: Optional[Path] = None, conf_dirs: Sequence[Path] = ()
    ) -> None:
        """See CompositeTokenizer; the state is read when it is first needed."""
        super().__init__(name, config, state_dir, conf_dirs)
        self._learnt: Optional[_State] = None

    @property
    def state_files(self) -> List[Path]:
        """What was measured, and the pieces if there are any."""
        if self.state_dir is None:
            raise RuntimeError(f"feature type '{self.name}' needs fitting, but no state folder was given.")
        names = [FACTS_FILE, MODEL_FILE] if self.config.bpe_vocab_size else [FACTS_FILE]
        return [self.state_dir / name for name in names]

    @property
    def is_fitted(self) -> bool:
        """Whether the base is, and the files of this one's state exist."""
        return self.state_dir is not None and self.base.is_fitted and all(path.is_file() for path in self.state_files)

    def _why_not(self, spec: FeatureSpec) -> str:
        return "" if spec.num_codebooks == 1 else f"{spec.num_codebooks} codebooks, but runs and pieces are of one"

    @property
    def spec(self) -> FeatureSpec:
        """One codebook, of the pieces or the units; the rate is variable. RuntimeError if not fitted."""
        base = self._part_specs()[0]
        state = self._state()
        return FeatureSpec(
            name=self.name,
            kind="codes",
            sample_rate_hz=base.sample_rate_hz,
            frame_rate_hz=state.frame_rate_hz,
            num_codebooks=1,
            codebook_sizes=(len(state.pieces),) if state.pieces else base.codebook_sizes,
            feature_dim=0,
            provenance={
                "tokenizer": self.tokenizer_name,
                **self._settings(),
                "base": {"name": base.name, **promise_of(base)},
                "pieces_sha256": state.sha256,
            },
            made_with=self._made_with(),
            max_frame_rate_hz=base.frame_rate_hz,
        )

    def settings_to_save(self) -> Dict[str, Any]:
        """The base by its name: its own file lies beside."""
        return {**super().settings_to_save(), "base": self.base.name}

    def codebooks(self) -> Optional[List[Tensor]]:
        """That of the base; a piece has the mean of its units' vectors, or zero if it stands for none."""
        found = self.base.codebooks()
        pieces = self._state().pieces
        if found is None or pieces is None:
            return found
        means = (
            found[0][units].mean(dim=0) if units else found[0].new_zeros(found[0].shape[1])
            for units in map(pieces.units_of, range(len(pieces)))
        )
        return [torch.stack(list(means))]

    def _encode_one(self, samples: Tensor) -> Tensor:
        return self._encode_with_durations(samples)[0]

    def _encode_with_durations(self, samples: Tensor) -> Tuple[Tensor, Tensor]:
        units, durations = self._units_of_audio(samples, self.base)
        pieces = self._state().pieces
        codes = units if pieces is None else torch.tensor(pieces.encode(units.tolist()))
        return codes.unsqueeze(1), durations

    def _units_of_audio(self, samples: Tensor, base: SpeechTokenizer) -> Tuple[Tensor, Tensor]:
        codes, _ = base.encode(samples.unsqueeze(0), torch.tensor([len(samples)]))
        frames = codes[0, :, 0]
        return runs(frames) if self.config.deduplicate else (frames, torch.ones_like(frames))

    def units_of(self, codes: Tensor) -> List[List[int]]:
        """The units that each of the codes (P, 1) stands for."""
        pieces = self._state().pieces
        return [[code] if pieces is None else pieces.units_of(code) for code in codes[:, 0].tolist()]

    def code_durations(self, codes: Tensor, durations: Tensor) -> Tensor:
        """How many frames of the base each of the codes (P, 1) lasts, (P,), from the durations (U,) of the units."""
        sizes = [len(units) for units in self.units_of(codes)]
        if sum(sizes) != len(durations):
            raise ValueError(
                f"{len(durations)} durations for codes of {sum(sizes)} units; they are not of one utterance."
            )
        return torch.stack([part.sum() for part in durations.split(sizes)])

    def frames_of(self, codes: Tensor, durations: Tensor) -> Tensor:
        """The base's codes (T, 1), from codes (P, 1) and the durations (U,) of their units: the inverse of encoding."""
        units = torch.tensor([unit for units in self.units_of(codes) for unit in units])
        if len(units) != len(durations):
            raise ValueError(
                f"{len(durations)} durations for codes of {len(units)} units; they are not of one utterance."
            )
        return units.repeat_interleave(durations).unsqueeze(1)

    def fit(self, audio: AudioPairs, state_dir: Path, seed: int) -> None:
        """Fit the base if it needs that, then learn pieces and measure the average rate; `audio` is read for each.

        Raises ValueError if no audio can be used, or if there are too many or too few pieces for it.
        """
        self._fit_parts(audio, state_dir, seed)
        self.state_dir, self._learnt = Path(state_dir), None
        base = self.base.spec
        self._check_part(base)
        units, facts = self._read_units(audio)
        pieces, model = None, b""
        if self.config.bpe_vocab_size:
            num_pieces, model_type = self.config.bpe_vocab_size, self.config.bpe_model_type
            model = train_pieces(map(as_characters, units), base.codebook_sizes[0], num_pieces, model_type)
            pieces = UnitPieces(model)
        facts["num_codes"] = sum(len(one if pieces is None else pieces.encode(one)) for one in units)
        logging.info(
            "%s: %d frames of '%s' are %d units and %d codes in %.1f s, %d utterances",
            self.name, facts["num_frames"], base.name, facts["num_units"], facts["num_codes"], facts["audio_sec"],
            facts["num_utterances"],
        )  # fmt: skip
        self._write_state(self.state_dir, facts, model)

    def adopt(self, model: bytes, codes_per_sec: float, state_dir: Path) -> None:
        """Take pieces that were trained elsewhere, a serialised model, in place of a fit; the base has to be fitted.

        `codes_per_sec` of audio is their average rate, of which nothing is known here.
        """
        self.state_dir, self._learnt = Path(state_dir), None
        self._check_part(self.base.spec)
        facts = {"audio_sec": _STATED_SEC, "num_codes": round(codes_per_sec * _STATED_SEC)}
        self._write_state(self.state_dir, facts, model)

    def _write_state(self, state_dir: Path, facts: Mapping[str, Any], model: bytes) -> None:
        """Write the pieces (b"": none), then what they were made of."""
        if model:
            write_bytes(state_dir / MODEL_FILE, model)
        sha256 = hashlib.sha256(model).hexdigest() if model else ""
        made = {**self._origin(self.base.spec), **facts, "model_sha256": sha256}
        write_text(state_dir / FACTS_FILE, json.dumps(made, indent=2, ensure_ascii=False) + "\n")

    def _origin(self, base: FeatureSpec) -> Dict[str, Any]:
        """What a state belongs to: settings, and the units that pieces are made of, in whatever numbers computed."""
        promise = promise_of(base)
        promise["provenance"] = {key: value for key, value in base.provenance.items() if key != "dtype"}
        return {"feature_type": self.name, **self._settings(), "base": {"name": base.name, **promise}}

    def _read_units(self, audio: AudioPairs) -> Tuple[List[List[int]], Dict[str, Any]]:
        """Units of each utterance, and their counts."""
        found: List[List[int]] = []
        num_frames, num_samples = 0, 0
        for base, heard in self.base.heard_by(audio):
            for samples, cut_id in tqdm(heard, desc=f"units for {self.name}", unit="cut"):
                try:
                    self.check_audio(samples, f"cut {cut_id}")
                except AudioRejected as error:
                    logging.warning("left out of the fit: %s", error)
                    continue
                units, durations = self._units_of_audio(samples, base)
                found.append(units.tolist())
                num_frames += int(durations.sum())
                num_samples += len(samples)
        if not found:
            raise ValueError(f"{self.name}: there is no audio to fit on; check the training cuts.")
        return found, {
            "num_utterances": len(found),
            "audio_sec": num_samples / self.sample_rate_hz,
            "num_frames": num_frames,
            "num_units": sum(len(units) for units in found),
        }

    def _settings(self) -> Dict[str, Any]:
        settings = super()._settings()
        del settings["base"]  # may be a path; the base is told by its promise
        return settings

    def _state(self) -> _State:
        if self._learnt is None:
            if self.state_dir is None or not self.is_fitted:
                raise RuntimeError(
                    f"feature type '{self.name}' is not fitted ({FACTS_FILE} is missing in "
                    f"{self.state_dir or 'any folder'}); run stage 2 first."
                )
            self._learnt = self._read_state(self.state_dir, self.base.spec)
        return self._learnt

    def _read_state(self, state_dir: Path, base: FeatureSpec) -> _State:
        path = state_dir / FACTS_FILE
        shapes = {"num_codes": WHOLE, "audio_sec": POSITIVE, "model_sha256": TEXT}
        made = read_shaped(path, shapes, "move it aside and rerun stage 2")
        origin = self._origin(base)
        changed = sorted(key for key, value in origin.items() if made.get(key) != value)
        if changed:
            raise ValueError(
                f"{path} was made for other {', '.join(changed)} than feature type '{self.name}' has now; "
                "move it aside and rerun stage 2, or restore the settings and the base's state."
            )
        rate = round(made["num_codes"] / made["audio_sec"], 6)
        if not self.config.bpe_vocab_size:
            return _State(rate, None, "")
        return _State(rate, *read_pieces(state_dir / MODEL_FILE, made["model_sha256"]))


def read_pieces(path: PathLike, sha256: str) -> Tuple[UnitPieces, str]:
    """The pieces of a file and its hash. Raises ValueError if the hash is another than `sha256`."""
    model = Path(path).read_bytes()
    if hashlib.sha256(model).hexdigest() != sha256:
        raise ValueError(
            f"{path} is not the file that {FACTS_FILE} beside it tells of; move both aside and rerun stage 2."
        )
    return UnitPieces(model), sha256
