"""A waveform of one utterance's codes, in windows: memory does not grow with its length, but for the samples.

A window is computed with as many frames on each side as its samples depend on, so that it gives what the whole would,
but for the last bits of floats. Each utterance is computed alone, whatever it comes with. A front end that attends to
all frames does so within WHOLE_SEC seconds; more than that is longer than what anybody trains on, and is divided.
"""

import dataclasses
from typing import Callable, Iterator, Optional

import torch
from torch import Tensor

from icefall_discrete.base.settings import check_settings, path_setting, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.speech import expanded
from icefall_discrete.nn.durations import durations_of
from icefall_discrete.nn.generators.contract import Prompt
from icefall_discrete.systems.vocoder.network import Vocoder

WHOLE_SEC = 30.0


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
    """How waveforms are made; but for the last bits the window does not change them."""

    window_sec: float = setting(10.0, "audio that is made at once, in seconds: more needs more memory", above=0)
    prompt: str = path_setting(
        "audio file whose voice is spoken in, by a vocoder that takes a prompt (default: that of the speaker)"
    )
    voice: str = setting(
        "", "voice of the training data in which everything is said, whoever spoke (default: each cut's own)"
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def window_frames(self, spec: FeatureSpec) -> int:
        """Frames of a window, at the rate of the generator."""
        return max(1, round(self.window_sec * (spec.max_frame_rate_hz or spec.frame_rate_hz)))


def require_codes(codes: Tensor, spec: FeatureSpec, name: str) -> None:
    """Raise ValueError, naming `name`, unless they are codes (T, K) of `spec`, or its features (T, D).

    Codes of another spec that have the same shape and range are not known by that: compare their spec.
    """
    width = spec.num_codebooks if spec.kind == "codes" else spec.feature_dim
    what = "codes" if spec.kind == "codes" else "features"
    if codes.dim() != 2 or codes.shape[1] != width:
        raise ValueError(
            f"{name}: {what} of shape {tuple(codes.shape)}, expected (frames, {width}), as '{spec.name}' has them; "
            "give those of the feature type that the model was trained on."
        )
    if len(codes) == 0:
        raise ValueError(f"{name}: there are no {what}, expected at least one frame; leave it out.")
    if spec.kind == "continuous":
        if not codes.is_floating_point() or not bool(codes.isfinite().all()):
            raise ValueError(f"{name}: expected finite numbers as features; extract them again.")
        return
    if codes.is_floating_point() or codes.is_complex():
        raise ValueError(f"{name}: codes are {codes.dtype}, expected whole numbers; give ids, not vectors.")
    wrong = ((codes < 0) | (codes >= torch.tensor(spec.codebook_sizes))).nonzero()
    if len(wrong):
        frame, book = wrong[0].tolist()
        raise ValueError(
            f"{name}: code {int(codes[frame, book])} in frame {frame} of codebook {book}, expected 0 to "
            f"{spec.codebook_sizes[book] - 1}, as '{spec.name}' has them; give codes of that feature type."
        )


@torch.no_grad()
def frames_to_speak(
    network: Vocoder, codes: Tensor, durations: Optional[Tensor] = None, without_repetitions: bool = False
) -> Tensor:
    """Codes (T, K) at the rate of the generator: as they are, or each for its duration.

    Args:
      durations: (T,) of each, in frames. without_repetitions: each lasts as long as the network says it does.
    Raises:
      ValueError: if the network does not predict durations, or they do not fit.
    """
    if durations is not None:
        if bool((durations < 1).any()):
            raise ValueError(f"a duration is {int(durations.min())} frames, expected at least 1.")
        return expanded(codes, durations.long())
    if not without_repetitions:
        return codes
    device = next(network.parameters()).device
    predicted = network.log_durations(codes[None].to(device), torch.tensor([len(codes)], device=device))
    return expanded(codes, durations_of(predicted[0].float().cpu()))


def _windows(
    made: Callable[[Tensor], Tensor], frames: Tensor, size: int, reach: int, made_of_frame: int
) -> Iterator[Tensor]:
    """What is `made` of frames (T, ...), window by window: `made_of_frame` T rows in all."""
    for start in range(0, len(frames), size):
        end = min(start + size, len(frames))
        left = max(0, start - reach)
        yield made(frames[left : end + reach])[(start - left) * made_of_frame : (end - left) * made_of_frame]


@torch.no_grad()
def in_windows(
    network: Vocoder, frames: Tensor, voice: int, window_frames: int, prompt: Optional[Prompt] = None
) -> Iterator[Tensor]:
    """Yield the audio (S,) float32 of frames (T, K or D), on the CPU, window by window: T F samples in all.

    Args:
      network: in evaluation mode. voice: row of its table. window_frames: frames that are made at once.
      prompt: of one utterance, for a network that takes one.
    """
    device = next(network.parameters()).device
    row = torch.tensor([voice], device=device)
    if prompt is not None:
        frames = _states(network, frames, row, window_frames, prompt)

    def audio(part: Tensor) -> Tensor:
        one = part[None].to(device)
        return (network(one, row) if prompt is None else network.spoken(one))[0].float().cpu()

    yield from _windows(audio, frames, window_frames, network.generator.reach, network.frame_samples)


def _states(network: Vocoder, frames: Tensor, row: Tensor, window_frames: int, prompt: Prompt) -> Tensor:
    """States (T, C) of the front end, on the CPU."""
    device, reach = row.device, network.front.reach
    prompt = Prompt(*(one.to(device) for one in prompt))

    def fronted(part: Tensor) -> Tensor:
        lens = torch.tensor([len(part)], device=device)
        return network.fronted(part[None].to(device), row, lens, prompt).states[0].float().cpu()

    size, sides = (window_frames, reach) if reach is not None else (network.frames_in(WHOLE_SEC), 0)
    return torch.cat(list(_windows(fronted, frames, size, sides, 1)))


def waveform(
    network: Vocoder, frames: Tensor, voice: int, window_frames: int, prompt: Optional[Prompt] = None
) -> Tensor:
    """The whole of `in_windows`, (T F,)."""
    return torch.cat(list(in_windows(network, frames, voice, window_frames, prompt)))
