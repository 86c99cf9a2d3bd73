"""The settings of a training run, by section: a frozen dataclass a system, each of whose fields is a section."""

import dataclasses
from typing import Any, ClassVar, Dict, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from icefall_discrete.base.flags import override
from icefall_discrete.base.json_files import json_name
from icefall_discrete.base.names import known_names
from icefall_discrete.base.settings import from_layers, setting, to_dict
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.filters import FilterConfig
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.nn.frame_network import FrameNetworkConfig
from icefall_discrete.training.train_config import TrainConfig

# Sections of a recipe file that other stages read.
OTHER_SECTIONS = (
    "system",
    "model_size",
    "description",
    "bpe",
    "average",
    "decode",
    "synthesis",
    "ranking",
    "when",
    "fitted_to",
)
FITTING = "fitting"  # stands for all parts of a network whose weights fit
S = TypeVar("S", bound="TrainSettings")


@dataclasses.dataclass(frozen=True)
class InitialConfig:
    """The weights that training begins with, where not with random ones."""

    init_from: str = setting(
        "",
        "experiment or model folder, ORG/NAME of a hub, a checkpoint of ours or of icefall's zipformer, or a folder of "
        "transformers with a wav2vec 2.0, HuBERT, WavLM or XLSR, or a LLaMA, Qwen2 or GPT-2, to take weights from; "
        "empty: none",
    )
    init_modules: Tuple[str, ...] = setting(
        (),
        "parts of the network that are taken, such as encoder,front_end, or fitting: those that fit; the others begin "
        "anew; none: all",
    )
    frozen_modules: Tuple[str, ...] = setting(
        (),
        "parts of the network that keep the weights that they begin with; with adapters or LoRA all that are taken do",
    )

    frozen_steps: int = setting(
        0, "first steps in which the encoder and what is before it learn nothing, so that heads come first", minimum=0
    )

    def __post_init__(self) -> None:
        if self.init_modules and not self.init_from:
            raise ValueError("init_modules says what to take, but init_from does not say from where.")
        if self.frozen_modules and not self.init_from:
            raise ValueError("frozen_modules would keep random weights: init_from does not say what to begin with.")
        if FITTING in self.init_modules and len(self.init_modules) > 1:
            raise ValueError(f"init_modules names {FITTING}, which is all that fits, and others; leave one out.")


class TrainSettings:
    """Everything that decides what a training run does, apart from its data; config.json in the experiment folder.

    A system's own is a frozen dataclass that has the fields below, and more; `system` is the name of its folder.
    """

    system: ClassVar[str]
    __dataclass_fields__: ClassVar[Dict[str, dataclasses.Field]]
    model: FrameNetworkConfig
    loader: LoaderConfig
    filter: FilterConfig
    train: TrainConfig
    init: InitialConfig

    @property
    def augmentation(self) -> Optional[AugmentConfig]:
        """How training batches are augmented; None: they are not."""
        return None

    @classmethod
    def sections(cls) -> Tuple[str, ...]:
        """The names of its sections."""
        return tuple(field.name for field in dataclasses.fields(cls))

    def to_dict(self) -> Dict[str, Any]:
        """One JSON object a section."""
        return to_dict(self)

    @classmethod
    def from_dict(cls: Type[S], values: Mapping[str, Any], where: str) -> S:
        """Read what `to_dict` gave; absent sections and settings take their defaults, unknown ones are errors."""
        return cls.from_layers([(values, where)])

    @classmethod
    def from_layers(cls: Type[S], layers: Sequence[Tuple[Mapping[str, Any], str]]) -> S:
        """Read recipes, pairs of their sections and their file, each over those before it; see `from_dict`."""
        for values, where in layers:
            cls.check_sections(values, where)
        names = cls.sections()
        return from_layers(cls, [({name: one[name] for name in names if name in one}, file) for one, file in layers])

    def overridden(self: S, args: Any) -> S:
        """The same with the flags that were given (`args`, the parsed command line)."""
        return override(self, args)

    @classmethod
    def check_sections(cls, values: Mapping[str, Any], where: str) -> None:
        """Raise ValueError if a recipe is no object, or has a section that no stage reads."""
        if not isinstance(values, Mapping):
            raise ValueError(
                f"{where}: it holds {json_name(values)}, expected an object with a section for each stage."
            )
        known = (*cls.sections(), *OTHER_SECTIONS)
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{where}: unknown section {', '.join(unknown)}; {known_names(known, unknown[0])}")
