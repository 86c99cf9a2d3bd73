"""The settings of the training loop."""

import dataclasses

from icefall_discrete.base.device import device_setting
from icefall_discrete.base.settings import LARGEST_SEED, MOST_THREADS, check_settings, choice, setting
from icefall_discrete.training.optimizers.contract import OPTIMIZERS, OptimizerConfig
from icefall_discrete.training.trackers import NO_TRACKER, TRACKERS

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and in which numbers to train."""

    num_epochs: int = setting(30, "number of epochs", minimum=1)
    max_minutes: float = setting(
        0.0,
        "stop when training and validation have taken this many minutes, within an epoch if need be; 0: no limit",
        minimum=0,
    )
    optimizer: OptimizerConfig = choice(
        "scaled_adam",
        "scaled_adam: icefall's, with Eden, by the settings of train; adam: with a schedule, by settings of its own",
        OPTIMIZERS,
    )
    base_lr: float = setting(0.045, "learning rate that Eden starts from", above=0)
    lr_batches: float = setting(7500.0, "Eden: steps after which the learning rate begins to fall", above=0)
    lr_epochs: float = setting(3.5, "Eden: epochs after which the learning rate begins to fall", above=0)
    lr_warmup_batches: float = setting(500.0, "Eden: steps over which the learning rate rises from half", minimum=0)
    fractional_epochs: bool = setting(False, "Eden counts parts of an epoch (by audio) at every step, not whole epochs")
    clipping_scale: float = setting(2.0, "gradients are clipped at this multiple of their median size", above=0)
    max_grad_norm: float = setting(0.0, "gradients longer than this are shortened to it; 0: none are", minimum=0)
    ref_duration: float = setting(
        600.0, "seconds of audio that count as one batch in the schedules inside the model", above=0
    )
    first_batch_count: float = setting(
        0.0,
        "batches that count as done before in the schedules inside the model; icefall's fine-tuning: 100000, their end",
        minimum=0,
    )
    accum_grad: int = setting(1, "batches whose gradients are added before a step", minimum=1)
    seed: int = setting(
        42,
        "seed of the model's initial weights, the order of batches and the augmentation",
        minimum=0,
        maximum=LARGEST_SEED,
    )
    average_period: int = setting(200, "steps between samples of the weights for the averaged model", minimum=1)
    save_every_n: int = setting(
        4000, "steps between checkpoints within an epoch (one is written at its end as well)", minimum=1
    )
    keep_last_k: int = setting(2, "number of checkpoints to resume from that are kept", minimum=1)
    keep_epochs: int = setting(
        0, "number of epoch-N.pt that are kept besides that of the best epoch; 0: all", minimum=0
    )
    best_by: str = setting("loss", "validation loss or figure of dev whose least value makes an epoch the best")
    patience: int = setting(0, "stop after this many epochs since the best one; 0: never", minimum=0)
    log_interval: int = setting(50, "batches between lines of the log", minimum=1)
    decode_interval: int = setting(0, "epochs between greedy decodings of some of the dev set; 0: none", minimum=0)
    decode_utterances: int = setting(100, "number of dev utterances in those decodings", minimum=0)
    max_bad_batches: int = setting(
        10, "batches with a non-finite loss or gradient to leave out before stopping", minimum=0
    )
    try_largest_batches: bool = setting(True, "run the largest batches once before training, to see if memory suffices")
    precision: str = setting("fp32", "number format of the forward pass", choices=PRECISIONS)
    world_size: int = setting(
        1,
        "processes that train together on this machine, each with batches of its own (--max-duration is of each)",
        minimum=1,
    )
    sharded: bool = setting(
        False, "processes divide weights, gradients and moments, for networks too large for one device; needs adam"
    )
    compile: bool = setting(
        False, "torch.compile makes chains of operations inside the network into one each; needs a compiler"
    )
    device: str = device_setting("where it trains")
    num_threads: int = setting(
        0, "threads of torch in a process; 0: as the environment says", minimum=0, maximum=MOST_THREADS
    )
    tensorboard: bool = setting(True, "write TensorBoard curves")
    tracker: str = setting(
        NO_TRACKER,
        "a package that is given the same figures; wandb is begun offline, trackio is local",
        choices=TRACKERS,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.sharded and not self.optimizer.takes_each_value_alone:
            raise ValueError(
                "sharded divides tensors among processes, and this optimizer measures each as a whole; set "
                "--train.optimizer adam, or --sharded 0."
            )
        if self.sharded and self.precision == "fp16":
            raise ValueError(
                "sharded scales no gradients, as fp16 needs; set --precision bf16 or fp32, or --sharded 0."
            )
