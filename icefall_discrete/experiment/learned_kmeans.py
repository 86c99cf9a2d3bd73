"""The k-means that a recogniser learnt with itself, as an ordinary feature type."""

import json
from pathlib import Path
from typing import Any, Dict

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.tensor_files import as_text, write_tensors
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import TOKENIZER_DIR
from icefall_discrete.nn.learned_codes import LearnedCodes
from icefall_discrete.tokenizers import tokenizer_names
from icefall_discrete.tokenizers.quantizers.kmeans import METADATA_KEY

_QUANTIZED = "_kmeans"


def write_feature_type(exp_dir: Path, choice: CheckpointChoice, path: Path) -> Dict[str, Any]:
    """Write the feature type `path`, NAME.json, and its centroids beside it, NAME.safetensors; what the JSON holds.

    Codes of it are those that the recogniser reads in evaluation mode, of the same frames. Centroids are named by where
    they lie, so that the file says the same from any folder.

    Raises:
      FileNotFoundError, ValueError: if the experiment has learnt no codes, its frames have no k-means, or `path` is no
        NAME.json, or what somebody else wrote.
    """
    centroids = path.with_suffix(".safetensors").resolve()
    if path.suffix != ".json":
        raise ValueError(f"the feature type to write is '{path}', expected a JSON file, such as {path}.json.")
    if path.exists() and read_object(path).get("kmeans_path") != str(centroids):
        raise ValueError(f"{path} is there already, and is no export of learnt codes; give another name.")
    experiment = Experiment(exp_dir)
    network = experiment.build_model()
    if not isinstance(network.input_embedding, LearnedCodes):
        raise ValueError(f"{exp_dir} has learnt no codes; give an experiment that was trained with learned_codes.")
    load_into(network, resolve_choice(choice, exp_dir), exp_dir)
    name = experiment.spec().name
    settings = read_object(exp_dir / TOKENIZER_DIR / f"{name}.json")
    tokenizer = f"{settings.pop('tokenizer', '')}{_QUANTIZED}"
    if tokenizer not in tokenizer_names():
        raise ValueError(f"{exp_dir}: '{name}' is of no frame source, so that there is no tokenizer {tokenizer}.")
    found = network.input_embedding.kmeans()
    made = {METADATA_KEY: as_text({"feature_type": path.stem, "learnt_by": exp_dir.resolve().name})}
    write_tensors(centroids, {key: value.contiguous() for key, value in found._asdict().items()}, made)
    values = {"tokenizer": tokenizer, **settings, "num_clusters": len(found.centroids), "kmeans_path": str(centroids)}
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return values
