"""Training of a codec on random segments: reconstruction through a quantizer, in a budget of steps.

All that a step draws by chance depends on the seed and its number only, so that a training that was killed goes on from
its last checkpoint as if it had never stopped: bit for bit, on a CPU with as many threads.
"""

import hashlib
import logging
import math
import time
from pathlib import Path
from typing import Any, Dict

import torch
from torch import Tensor, nn
from tqdm import tqdm

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.base.device import resolve
from icefall_discrete.base.settings import to_dict
from icefall_discrete.systems.codec.config import CodecConfig
from icefall_discrete.systems.codec.losses import ReconstructionLoss
from icefall_discrete.systems.codec.networks import fresh_decoder, fresh_encoder, published_names
from icefall_discrete.systems.codec.quantizers import make_quantizer, perplexity
from icefall_discrete.systems.codec.segments import AudioPool

LOG = logging.getLogger(__name__)
CHECKPOINT = "codec_checkpoint.pt"
# Settings that do not change what a step computes; an interrupted training may go on with others.
RUNTIME_SETTINGS = ("max_minutes", "checkpoint_steps", "fit_device")
ADAM_BETAS = (0.9, 0.99)
# What the shown losses keep of themselves at each step.
SMOOTHING = 0.98
BAR_STEPS = 10


def seeded(seed: int, purpose: str, step: int) -> torch.Generator:
    """A generator of its own for each purpose and step."""
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


class CodecTrainer:
    """Trains encoder, quantizer and decoder; after `run`, `tensors` and `summary` say what came out."""

    def __init__(self, name: str, config: CodecConfig, pool: AudioPool, seed: int) -> None:
        """`name` of the feature type, for messages; `pool` to take segments from."""
        self._name, self._config, self._pool, self._seed = name, config, pool, seed
        self._device = resolve(config.fit_device, "training")
        self._frames = max(1, round(config.segment_sec * config.codec_rate_hz / config.frame_samples))
        self._segments = max(1, round(config.batch_sec / config.segment_sec))
        fresh = seeded(seed, "weights", 0)
        self.modules = nn.ModuleDict(
            {
                "encoder": fresh_encoder(config, fresh),
                "quantizer": make_quantizer(config, config, fresh),
                "decoder": fresh_decoder(config, fresh),
            }
        ).to(self._device)
        self._loss = ReconstructionLoss(config.codec_rate_hz, config.fft_sizes, config.max_mel_bins).to(self._device)
        self._optimizer = torch.optim.Adam(self.modules.parameters(), lr=config.learning_rate, betas=ADAM_BETAS)
        self.step = 0
        self._seconds = 0.0
        self._losses: Dict[str, float] = {}

    def run(self, folder: Path) -> None:
        """Train until the budget is used up, from the checkpoint in `folder` on if there is one.

        Raises:
          ValueError: if a loss is not finite, or if the checkpoint is of another training.
        """
        path = folder / CHECKPOINT
        self._load(path)
        config = self._config
        before = time.monotonic() - self._seconds
        limit = 60 * config.max_minutes or math.inf
        bar = tqdm(total=config.max_steps, initial=self.step, desc=f"codec {self._name}", unit="step")
        with bar:
            while self.step < config.max_steps:
                self.train_step()
                self._seconds = time.monotonic() - before
                bar.update()
                if self.step % BAR_STEPS == 0:
                    bar.set_postfix_str(self._progress(), refresh=False)
                if self._seconds > limit:
                    break
                if self.step % config.checkpoint_steps == 0:
                    self._save(path)
        if self.step <= config.plain_steps:
            self._start_quantizer()
        self._save(path)
        if self.step < config.max_steps:
            LOG.warning(
                "%s: max_minutes, %g, are over after %d of %d steps; the learning rate has not come down and another "
                "machine would get another codec: set fewer max_steps",
                self._name, config.max_minutes, self.step, config.max_steps,
            )  # fmt: skip
        LOG.info("%s: %d steps in %.0f s; %s", self._name, self.step, self._seconds, self._progress())

    def tensors(self) -> Dict[str, Tensor]:
        """The weights under the names that the modules of inference read, on the CPU."""
        parts = {
            "encoder": published_names(self.modules["encoder"]),
            "quantizer": self.modules["quantizer"].published_names(),
            "decoder": published_names(self.modules["decoder"]),
        }
        return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}

    def summary(self) -> Dict[str, Any]:
        """Steps done, losses at the end, and the perplexity of each codebook."""
        perplexities = [round(perplexity(counts), 3) for counts in self.modules["quantizer"].usage()]
        losses = {name: round(value, 6) for name, value in self._losses.items()}
        return {"steps": self.step, "losses": losses, "perplexities": perplexities}

    def train_step(self) -> None:
        """One step; the codebooks are started before the first one that quantises."""
        config = self._config
        quantises = self.step >= config.plain_steps
        if self.step == config.plain_steps:
            self._start_quantizer()
        self.step += 1
        generator = seeded(self._seed, "step", self.step)
        audio = self._batch(generator)
        frames = self.modules["encoder"](audio[:, None]).transpose(1, 2).flatten(0, 1)
        added = frames.new_zeros(())
        if quantises:
            done = self.modules["quantizer"](frames, self._num_used(generator), generator)
            frames, added = done.states, done.loss
        states = frames.unflatten(0, (len(audio), -1)).transpose(1, 2)
        losses = {**self._loss(self.modules["decoder"](states)[:, 0], audio), "quantizer": added}
        total = (
            config.waveform_weight * losses["waveform"]
            + config.mel_weight * losses["mel"]
            + config.stft_weight * losses["stft"]
            + added
        )
        self._note({name: float(value.detach()) for name, value in losses.items()})
        self._optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.modules.parameters(), config.max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        self._optimizer.step()

    def _batch(self, generator: torch.Generator) -> Tensor:
        num_samples = self._frames * self._config.frame_samples
        return self._pool.segments(self._segments, num_samples, generator).to(self._device)

    def _num_used(self, generator: torch.Generator) -> Tensor:
        """How many codebooks each frame (M,) uses: the same in a segment."""
        num_codebooks = self._config.num_codebooks
        fewer = torch.rand(self._segments, generator=generator) < self._config.quantizer_dropout
        drawn = torch.randint(1, num_codebooks + 1, (self._segments,), generator=generator)
        used = torch.where(fewer, drawn, torch.full_like(drawn, num_codebooks))
        return used.repeat_interleave(self._frames).to(self._device)

    @torch.no_grad()
    def _start_quantizer(self) -> None:
        num_batches = self._config.kmeans_batches
        frames = [
            self.modules["encoder"](self._batch(seeded(self._seed, "k-means", index))[:, None]).transpose(1, 2)
            for index in range(num_batches)
        ]
        self.modules["quantizer"].start(torch.cat(frames).flatten(0, 1), num_batches, self._seed)

    def _rate(self) -> float:
        config = self._config
        rising = min(1.0, self.step / max(1, config.warmup_steps))
        return config.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * (self.step - 1) / config.max_steps))

    def _note(self, losses: Dict[str, float]) -> None:
        bad = [f"{name} {value}" for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise ValueError(
                f"{self._name}: the loss of step {self.step} is not finite ({', '.join(bad)}); lower learning_rate, "
                f"which is {self._config.learning_rate}, remove {CHECKPOINT} if there is one, and fit anew."
            )
        for name, value in losses.items():
            self._losses[name] = SMOOTHING * self._losses.get(name, value) + (1 - SMOOTHING) * value

    def _progress(self) -> str:
        shown = " ".join(f"{name} {value:.3f}" for name, value in self._losses.items())
        used = [f"{perplexity(counts):.0f}" for counts in self.modules["quantizer"].usage()]
        return f"{shown}, of {self._config.codebook_size} entries used {'/'.join(used)}"

    def _origin(self) -> Dict[str, Any]:
        settings = {key: value for key, value in to_dict(self._config).items() if key not in RUNTIME_SETTINGS}
        return {**settings, "seed": self._seed, "audio": self._pool.sha256}

    def _save(self, path: Path) -> None:
        state = {
            "origin": self._origin(),
            "modules": self.modules.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "seconds": self._seconds,
            "losses": self._losses,
        }
        save_checkpoint(path, state)

    def _load(self, path: Path) -> None:
        if not path.is_file():
            return
        state = load_checkpoint(path)
        ours, theirs = self._origin(), state.get("origin", {})
        changed = sorted(key for key in set(ours) | set(theirs) if ours.get(key) != theirs.get(key))
        if changed:
            raise ValueError(
                f"{path} is of a training with other {', '.join(changed)}; restore them, or delete it to begin anew."
            )
        self.modules.load_state_dict(state["modules"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._seconds, self._losses = state["step"], state["seconds"], state["losses"]
        LOG.info("%s: going on after step %d of %d", self._name, self.step, self._config.max_steps)
