"""Training of a codec on random segments, in a budget of steps.

On a CPU with as many threads, a training that was killed goes on from its last checkpoint as if it had never stopped,
bit for bit.
"""

import logging
import math
from typing import Any, Dict, Iterator, NamedTuple, Optional

import torch
from torch import Tensor

from icefall_discrete.base.device import resolve
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.settings import to_dict
from icefall_discrete.systems.codec.config import CodecConfig, deciding_settings
from icefall_discrete.systems.codec.guidance import DISTILLATION, TRANSCRIPT
from icefall_discrete.systems.codec.lessons import Readable, readable
from icefall_discrete.systems.codec.segments import AudioPool
from icefall_discrete.systems.codec.system import (
    LESSON_SIZES,
    CodecNetwork,
    CodecSystem,
    samples_of,
    seeded,
    segments_of,
)
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.fit_folder import FitFolder, write_system
from icefall_discrete.training.optimization import RateSchedule
from icefall_discrete.training.system import Batch
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData

LOG = logging.getLogger(__name__)
SYSTEM_NAME = "codec"
ADAM_BETAS = (0.9, 0.99)


class TrainedCodec(NamedTuple):
    """tensors: weights under published names. summary: steps, losses at the end, perplexity of each codebook."""

    tensors: Dict[str, Tensor]
    summary: Dict[str, Any]


def learning_rate(step: int, config: CodecConfig) -> float:
    """Rate of step 1, 2, ...: a linear rise over the warm-up, under half a cosine down to zero."""
    rising = min(1.0, step / max(1, config.warmup_steps))
    return config.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * (step - 1) / config.max_steps))


def loop_settings(config: CodecConfig, seed: int) -> TrainConfig:
    """The settings of the loop: one epoch of `max_steps` batches."""
    return TrainConfig(
        num_epochs=1,
        max_minutes=config.max_minutes,
        max_grad_norm=config.max_grad_norm,
        seed=seed,
        save_every_n=config.checkpoint_steps,
        keep_last_k=1,
        max_bad_batches=0,
        try_largest_batches=False,
        device=config.fit_device,
    )


def segment_batches(
    pool: AudioPool, config: CodecConfig, seed: int, start: int, texts: Optional[Readable] = None
) -> Iterator[Batch]:
    """The batches after number `start`; each depends on the seed and its number only. `texts`: what can be read."""
    size, num_samples = segments_of(config), samples_of(config)
    for number in range(start + 1, config.max_steps + 1):
        generator = seeded(seed, "step", number)
        places = pool.places(size, generator)
        batch = {
            "cut_ids": [pool.names[utterance] for utterance in places.utterances.tolist()],
            "duration_sec": torch.full((size,), num_samples / config.codec_rate_hz),
            "audio": pool.cut(places, num_samples),
            "generator": generator.get_state(),
        }
        if pool.lessons.frames:
            rates = (config.frame_samples, config.codec_rate_hz)
            batch[DISTILLATION] = list(pool.taught(places, num_samples, *rates))
        if texts is not None:
            chosen = some_utterances(texts.utterances, pool.lens, config, seeded(seed, "transcripts", number))
            batch[TRANSCRIPT] = list(pool.spoken(chosen, config.frame_samples))
        yield batch


def some_utterances(from_all: Tensor, lens: Tensor, config: CodecConfig, generator: torch.Generator) -> Tensor:
    """Random ones of the utterances (M,), as many as fit into `transcript_batch_sec` with their padding."""
    order = from_all[torch.randperm(len(from_all), generator=generator)]
    longest = lens[order].cummax(dim=0).values
    padded = longest * torch.arange(1, len(order) + 1)
    return order[: max(1, int((padded <= config.transcript_batch_sec * config.codec_rate_hz).sum()))]


def readable_texts(name: str, config: CodecConfig, pool: AudioPool) -> Optional[Readable]:
    """The utterances whose letters are read in training; None if no transcripts are.

    Raises:
      ValueError: if there is none.
    """
    if not pool.lessons.labels:
        return None
    longest = round(config.transcript_batch_sec * config.codec_rate_hz)
    found = readable(pool.lessons, pool.lens, config.frame_samples, longest)
    if not len(found.utterances):
        raise ValueError(
            f"{name}: the letters of none of {len(pool.lens)} utterances can be read ({found.left_out}); set another "
            f"transcript_batch_sec than {config.transcript_batch_sec:g}, or transcript_weight to 0."
        )
    LOG.info("%s: reads %d utterances letter by letter; left out: %s", name, len(found.utterances), found.left_out)
    return found


def train_codec(name: str, config: CodecConfig, pool: AudioPool, seed: int, folder: FitFolder) -> TrainedCodec:
    """Train until the budget is used up, from the last checkpoint in `folder` on if there is one.

    Args:
      name: of the feature type, for messages. pool: to take segments from.
    Raises:
      RuntimeError: if a loss is not finite. ValueError: if the folder is of another training.
    """
    texts, sizes = readable_texts(name, config, pool), pool.lessons.sizes
    folder.begin(
        Provenance({"audio": pool.sha256, **pool.lessons.digests()}, {**deciding_settings(config), "seed": seed})
    )
    write_system(folder.path, SYSTEM_NAME, {**to_dict(config), **({LESSON_SIZES: list(sizes)} if any(sizes) else {})})
    device = resolve(config.fit_device, f"training of '{name}'")
    system = CodecSystem(CodecNetwork(config, seed, sizes), config, seed, pool).to(device)
    network = system.network
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=ADAM_BETAS)
    schedule = RateSchedule(optimizer, lambda step: learning_rate(step, config))
    seconds = segments_of(config) * samples_of(config) / config.codec_rate_hz
    data = TrainingData(
        train_batches=lambda epoch, start: segment_batches(pool, config, seed, start, texts),
        epoch_amount=config.max_steps * seconds,
        epoch_facts=lambda epoch: {"perplexities": network.perplexities()},
    )
    facts = {"system": SYSTEM_NAME, "feature_type": name, "utterances": len(pool.lens)}
    with folder.logged():
        trainer = Trainer(system, optimizer, schedule, loop_settings(config, seed), folder.path, Group(), facts)
        trainer.fit(data)
    steps = trainer.progress.step
    if steps <= config.plain_steps:
        system.start_quantizer()
    if steps < config.max_steps:
        LOG.warning(
            "%s: max_minutes, %g, are over after %d of %d steps; the learning rate has not come down and another "
            "machine would get another codec: set fewer max_steps",
            name, config.max_minutes, steps, config.max_steps,
        )  # fmt: skip
    summary = {"steps": steps, "losses": network.recent_losses(), "perplexities": network.perplexities()}
    LOG.info("%s: %d steps in %.0f s; %s", name, steps, trainer.progress.total_sec, summary)
    return TrainedCodec(network.published_names(), summary)
