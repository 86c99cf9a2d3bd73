"""Settings of wav2vec-U and wav2vec-U 2.0: what frames become, the two networks, their losses and their training.

Baevski et al. 2021, https://arxiv.org/abs/2105.11084; Liu et al. 2022, https://arxiv.org/abs/2204.02492. Defaults are
those of the first, `conf/recipes/wav2vec_u.json` and `wav2vec_u2.json` have both as published.
"""

import dataclasses

from icefall_discrete.base.device import device_setting
from icefall_discrete.base.settings import check_settings, section, setting

RUNS, RUNS_AND_PAIRS, FRAMES = "runs", "runs_and_pairs", "frames"
POOLINGS = (RUNS_AND_PAIRS, RUNS, FRAMES)


@dataclasses.dataclass(frozen=True)
class PoolingConfig:
    """From the frames of a feature type to the segments that the generator reads."""

    pooling: str = setting(
        RUNS_AND_PAIRS,
        "runs_and_pairs: means of runs of frames in one cluster, then of each two neighbours; runs: without the "
        "second; frames: the frames as they are, as 2.0 reads them",
        POOLINGS,
    )
    clusters: int = setting(128, "clusters (k-means) whose runs are one segment", minimum=2)
    pca_dim: int = setting(512, "dimensions kept by PCA, before means are taken; 0: all, as they are", minimum=0)
    fit_frames: int = setting(200000, "frames, drawn at random, that k-means and PCA are fitted on", minimum=1000)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """From lines of text to the symbols that the discriminator takes for real."""

    front: str = setting(
        "letters", "what a text is said by: its letters, or phones of espeak-ng", ("letters", "phones")
    )
    text_language: str = setting("", "language of the text, as espeak-ng names it; needed for phones")
    silence_prob: float = setting(
        0.25,
        "how often silence stands between two words; it always stands at both ends (2.0: 0.5)",
        minimum=0,
        maximum=1,
    )
    min_words: int = setting(2, "lines of fewer words are left out", minimum=1)
    min_symbol_count: int = setting(
        1, "letters or phones that occur less often are left out of the text (published: 1000)", minimum=1
    )
    ngram_order: int = setting(4, "longest n-grams of the model that judges and decodes", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """From segments to symbols: one convolution, behind what 2.0 adds."""

    kernel: int = setting(4, "segments that a symbol is told from", minimum=1)
    stride: int = setting(1, "segments from one output to the next", minimum=1)
    bias: bool = setting(False, "whether the convolution has a bias")
    dropout: float = setting(0.1, "dropout of what it reads", minimum=0, maximum=0.99)
    norm_scale: float = setting(
        0.0, "first scale of a batch normalisation of the input (2.0: 30); 0: there is none", minimum=0
    )
    residual: bool = setting(False, "a linear layer beside the input is added to it (2.0)")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """From rows of symbols to one number: is this text?"""

    kernel: int = setting(6, "symbols that each convolution reads, itself and those before", minimum=1)
    dim: int = setting(384, "channels", minimum=1)
    depth: int = setting(2, "convolutions behind the first", minimum=1)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of what is added to the cross-entropies of the two networks."""

    gradient_penalty: float = setting(1.5, "discriminator: gradients of length 1 between text and speech", minimum=0)
    smoothness: float = setting(0.5, "generator: squared difference of scores of neighbours", minimum=0)
    diversity: float = setting(4.0, "generator: symbols in use, 1 - perplexity / V of their mean", minimum=0)
    units: float = setting(0.0, "generator: cross-entropy of the units (2.0: 0.5)", minimum=0)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclasses.dataclass(frozen=True)
class GanTraining:
    """How one seed is trained."""

    steps: int = setting(150000, "steps, of discriminator and generator in turn", minimum=2)
    batch_size: int = setting(160, "utterances, and lines of text, of a step", minimum=1)
    generator_lr: float = setting(4e-4, "learning rate of the generator (Adam)", above=0)
    discriminator_lr: float = setting(5e-4, "learning rate of the discriminator (Adam)", above=0)
    discriminator_decay: float = setting(1e-4, "weight decay of the discriminator", minimum=0)
    max_grad_norm: float = setting(5.0, "gradients longer than this are shortened to it", above=0)
    check_steps: int = setting(1000, "steps between looks at what is said, of which the best one is kept", minimum=1)
    save_steps: int = setting(1000, "steps between checkpoints, at most lost by a kill", minimum=1)
    max_minutes: float = setting(0.0, "guard: end each seed early after so long; 0: no limit", minimum=0)
    device: str = device_setting("where it is trained")

    def __post_init__(self) -> None:
        check_settings(self)


# Of GanTraining, what does not change what a seed becomes, or only where the time runs out.
RUNTIME_SETTINGS = ("save_steps", "max_minutes", "device")


@dataclasses.dataclass(frozen=True)
class Wav2vecUConfig:
    """All of it, a section each."""

    pooling: PoolingConfig = section(PoolingConfig)
    text: TextConfig = section(TextConfig)
    generator: GeneratorConfig = section(GeneratorConfig)
    discriminator: DiscriminatorConfig = section(DiscriminatorConfig)
    loss: LossConfig = section(LossConfig)
    train: GanTraining = section(GanTraining)

    def __post_init__(self) -> None:
        if self.loss.units and not (self.generator.residual and self.pooling.pooling == FRAMES):
            raise ValueError(
                f"loss.units is {self.loss.units:g}: units are predicted of single frames by the residual layer; set "
                "pooling to frames and generator.residual to true, or loss.units to 0."
            )
