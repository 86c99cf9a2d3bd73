"""A published unit vocoder, read as data, and made into an experiment folder."""

import shutil
from pathlib import Path
from typing import Dict

from torch import Tensor

from icefall_discrete.base.atomic_files import new_folder
from icefall_discrete.base.guarded_pickle import read_checkpoint, tensors_of
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import Provenance, digest_of_file
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.speech import frame_samples
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.experiment.folder import CODEBOOKS_FILE, TOKENIZER_DIR, Experiment, read_codebooks
from icefall_discrete.experiment.transcription_files import RECIPE_FILE
from icefall_discrete.nn.loading import require_finite
from icefall_discrete.systems.vocoder.network import Vocoder, build_vocoder
from icefall_discrete.systems.vocoder.published_names import from_published
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.training.averages import AVERAGED, save_averaged

_EXPECTED = "give the generator's checkpoint, such as g_00500000"
_KEY = "generator"


def read_generator(path: Path) -> Dict[str, Tensor]:
    """The weights of a generator's checkpoint. Raises ValueError, naming the file, if it has none."""
    loaded = read_checkpoint(path, advice=_EXPECTED)
    state = loaded[_KEY] if isinstance(loaded, dict) and isinstance(loaded.get(_KEY), dict) else loaded
    return tensors_of(state, str(path))


def require_rate(spec: FeatureSpec, config: Dict, where: str) -> None:
    """Raise ValueError if a vocoder's config.json says another rate of audio or of units than the spec."""
    told = {"sampling_rate": spec.sample_rate_hz, "code_hop_size": frame_samples(spec)}
    for name, ours in told.items():
        if name in config and config[name] != ours:
            raise ValueError(
                f"{where}: '{name}' is {config[name]}, but '{spec.name}' has {ours}; it is a vocoder of another rate: "
                "give features of the units that it was made for."
            )


def write_experiment(exp_dir: Path, checkpoint: Path, config_path: Path, feature_dir: Path) -> TrainSettings:
    """Make `exp_dir` an experiment folder with the weights as averaged.pt, which the commands that speak take.

    Args:
      feature_dir: of the units that the vocoder was made for, as extraction leaves it: spec.json, tokenizer/.
    Returns:
      the settings; those of the training, which are not known, have our defaults.
    Raises:
      ValueError: if weights, configuration and units do not belong together; the folder is not made then.
    """
    weights, config = read_generator(checkpoint), read_object(config_path, "the settings of a vocoder")
    require_finite(weights, str(checkpoint))
    spec = FeatureSpec.read(feature_dir / "spec.json")
    require_rate(spec, config, str(config_path))
    found = from_published(weights, config, str(checkpoint))
    sizes = (found.state["input_embedding.table"].shape[0] - 1,)
    if spec.codebook_sizes != sizes:
        raise ValueError(
            f"{checkpoint} has {sizes[0]} units, but '{spec.name}' has {list(spec.codebook_sizes)}; give the features "
            "of the units that it was made for."
        )
    settings = TrainSettings.from_dict({"model": to_dict(found.model)}, str(checkpoint))
    targets = VoiceTargets("speaker", dict.fromkeys(found.voices, 0))
    network = build_vocoder(settings.model, spec, targets.size)
    network.load_trained(found.state, str(checkpoint))
    keep_vocoder(exp_dir, settings, targets, network, feature_dir, checkpoint)
    return settings


def keep_vocoder(
    exp_dir: Path, settings: TrainSettings, targets: VoiceTargets, network: Vocoder, feature_dir: Path, checkpoint: Path
) -> None:
    """Write an experiment folder of a network that was published as `checkpoint`, for the codes of `feature_dir`."""
    spec, codebooks = FeatureSpec.read(feature_dir / "spec.json"), None
    if settings.model.input.uses_codebooks(spec):
        codebooks = read_codebooks(feature_dir / CODEBOOKS_FILE)
    with new_folder(exp_dir) as unfinished:
        Experiment(unfinished).start(settings, spec, targets, codebooks)
        if (feature_dir / TOKENIZER_DIR).is_dir():
            shutil.copytree(
                feature_dir / TOKENIZER_DIR, unfinished / TOKENIZER_DIR, ignore=shutil.ignore_patterns(".*")
            )
        save_averaged(unfinished, network.state_dict(), Provenance({checkpoint.name: digest_of_file(checkpoint)}))
        write_json(unfinished / RECIPE_FILE, {"system": settings.system, "average": {"checkpoint": AVERAGED}})
