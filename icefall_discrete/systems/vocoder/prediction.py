"""What a trained vocoder does with the cuts of a split: it says their codes, each cut in its own voice."""

import logging
from pathlib import Path
from typing import Iterator, List, Tuple
from urllib.parse import quote

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_durations, load_frames
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.prediction import (
    Json,
    RunConfig,
    SearchlessPrediction,
    Trained,
    predict_cuts,
    with_average,
)
from icefall_discrete.systems.vocoder.files import METHOD, NOBODY, Said, VocoderFiles, audio_name, write_said
from icefall_discrete.systems.vocoder.network import Vocoder
from icefall_discrete.systems.vocoder.prompting import Prompter
from icefall_discrete.systems.vocoder.scoring import score_speech
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig, frames_to_speak, waveform

LOG = logging.getLogger(__name__)


def frames_of_cut(network: Vocoder, cut: Cut, spec: FeatureSpec) -> Tensor:
    """Codes (T, K) or features (T, D) of a cut at the rate of the generator."""
    frames = torch.from_numpy(load_frames(cut, spec))
    frames = frames.long() if spec.kind == "codes" else frames.float()
    if not spec.has_variable_rate:
        return frames
    try:
        return frames_to_speak(network, frames, torch.from_numpy(load_durations(cut, spec)))
    except ValueError as error:
        raise ValueError(f"cut {cut.id}: {error}") from None


def fitted(audio: Tensor, num_samples: int) -> Tensor:
    """The audio (S,) with exactly so many samples: cut, or with zeros behind its end."""
    return torch.nn.functional.pad(audio, (0, max(0, num_samples - len(audio))))[:num_samples]


class VocoderPrediction(SearchlessPrediction[SynthesisConfig, VocoderFiles, TrainSettings, Vocoder, VoiceTargets]):
    """Audio of each cut's codes."""

    files = VocoderFiles
    folder = METHOD
    config = SynthesisConfig
    searchless = "a vocoder has none"

    def noted(self, config: SynthesisConfig) -> Json:
        """What changes what is said: a prompt, a voice for all."""
        said = {"prompt": config.prompt, "voice": config.voice}
        return {name: value for name, value in said.items() if value}

    def inputs(self, config: SynthesisConfig) -> List[Path]:
        """The prompt."""
        return [Path(config.prompt)] if config.prompt else []

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: SynthesisConfig, checkpoints: str, averaged: bool
    ) -> VocoderFiles:
        """`<exp>/resynthesis`, with the checkpoints as suffix, and the name of a prompt or of the voice for all."""
        prompted = f"_prompt-{quote(Path(config.prompt).stem, safe='')}" if config.prompt else ""
        prompted += f"_voice-{quote(config.voice, safe='')}" if config.voice else ""
        return VocoderFiles(exp_dir / METHOD, with_average(checkpoints, averaged) + prompted)

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, Vocoder, VoiceTargets],
        cuts: CutSet,
        config: SynthesisConfig,
        run: RunConfig,
        files: VocoderFiles,
    ) -> Json:
        """Write a FLAC file for each cut, as long as the cut is; then the list of them."""
        spec, network, targets = trained.spec, trained.network, trained.targets
        number = targets.number_of(config.voice)
        prompt_of = Prompter(network, targets, config.prompt).among(list(cuts), number)
        files.forget(split)
        folder = files.audio(split)
        folder.mkdir(parents=True, exist_ok=True)

        def say(kept: List[Cut]) -> Iterator[Tuple[str, Said]]:
            for place, cut in enumerate(kept):
                voice = number or targets.of(cut)
                frames = frames_of_cut(network, cut, spec)
                audio = waveform(network, frames, voice, config.window_frames(spec), prompt_of(cut))
                name = audio_name(cut.id, place)
                write_flac(folder / name, fitted(audio, samples_of(cut, spec)).numpy(), spec.sample_rate_hz)
                yield cut.id, Said(cut.id, f"{folder.name}/{name}", targets.names[voice - 1] if voice else NOBODY)

        found, facts = predict_cuts(say, network.config, cuts, spec, f"Speaking {split}")
        unknown = sum(said.voice == NOBODY for said in found.values())
        if unknown and targets.names and not network.takes_prompt:
            LOG.warning(
                f"{split}: the voices of {unknown} of {len(found)} cuts are none of the {len(targets.names)} of the "
                "training data; they are said by the voice of nobody in particular."
            )
        write_said(files.listed(split), list(found.values()))
        return facts

    def score(self, split: str, files: VocoderFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """How far what is said is from the cuts' own audio, by the measures of `metrics/`."""
        return score_speech(split, files, feature_dir, rules)


def samples_of(cut: Cut, spec: FeatureSpec) -> int:
    """Samples that a cut has at the rate of the spec."""
    return round(cut.duration * spec.sample_rate_hz)
