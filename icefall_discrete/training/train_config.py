"""The settings of the training loop."""

import dataclasses

from icefall_discrete.base.settings import setting

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, how fast and in which numbers to train."""

    num_epochs: int = setting(30, "number of epochs")
    max_minutes: float = setting(
        0.0, "stop when training and validation have taken this many minutes, within an epoch if need be; 0: no limit"
    )
    base_lr: float = setting(0.045, "learning rate that Eden starts from")
    lr_batches: float = setting(7500.0, "Eden: steps after which the learning rate begins to fall")
    lr_epochs: float = setting(3.5, "Eden: epochs after which the learning rate begins to fall")
    lr_warmup_batches: float = setting(500.0, "Eden: steps over which the learning rate rises from half")
    fractional_epochs: bool = setting(False, "Eden counts parts of an epoch (by audio) at every step, not whole epochs")
    clipping_scale: float = setting(2.0, "gradients are clipped at this multiple of their median size")
    max_grad_norm: float = setting(0.0, "gradients longer than this are shortened to it; 0: none are")
    ref_duration: float = setting(600.0, "seconds of audio that count as one batch in the schedules inside the model")
    accum_grad: int = setting(1, "batches whose gradients are added before a step")
    seed: int = setting(42, "seed of the model's initial weights, the order of batches and the augmentation")
    average_period: int = setting(200, "steps between samples of the weights for the averaged model")
    save_every_n: int = setting(4000, "steps between checkpoints within an epoch (one is written at its end as well)")
    keep_last_k: int = setting(2, "number of checkpoints to resume from that are kept")
    keep_epochs: int = setting(0, "number of epoch-N.pt that are kept besides that of the best epoch; 0: all")
    best_by: str = setting("loss", "validation loss or figure of dev whose least value makes an epoch the best")
    patience: int = setting(0, "stop after this many epochs since the best one; 0: never")
    log_interval: int = setting(50, "batches between lines of the log")
    decode_interval: int = setting(0, "epochs between greedy decodings of some of the dev set; 0: none")
    decode_utterances: int = setting(100, "number of dev utterances in those decodings")
    max_bad_batches: int = setting(10, "batches with a non-finite loss or gradient to leave out before stopping")
    try_largest_batches: bool = setting(True, "run the largest batches once before training, to see if memory suffices")
    precision: str = setting("fp32", "number format of the forward pass", choices=PRECISIONS)
    device: str = setting("auto", "auto: CUDA where there is a device", choices=("auto", "cpu", "cuda"))
    num_threads: int = setting(0, "threads of torch in a process; 0: as the environment says")
    tensorboard: bool = setting(True, "write TensorBoard curves")

    def __post_init__(self) -> None:
        for name in ("num_epochs", "accum_grad", "average_period", "save_every_n", "keep_last_k", "log_interval"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1.")
        for name in ("max_grad_norm", "keep_epochs", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more.")
