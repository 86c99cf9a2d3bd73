"""A trained recogniser with all that it takes to get from audio to text, loaded once for whoever transcribes."""

import dataclasses
from pathlib import Path
from typing import Optional, Union

import torch

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer
from icefall_discrete.inference.languages import in_language
from icefall_discrete.systems.asr.streaming_model import StreamingConfig, StreamingEncoder
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers.contract import SpeechTokenizer


@dataclasses.dataclass(frozen=True)
class TrainedRecogniser:
    """Tokenizer, network in evaluation mode on `device`, and text encoder of an experiment."""

    experiment: Experiment
    spec: FeatureSpec
    tokenizer: SpeechTokenizer
    text_encoder: TextEncoder
    model: Transducer
    device: torch.device


def load_recogniser(
    exp_dir: Union[str, Path],
    choice: CheckpointChoice,
    run: RunConfig,
    language: str = "",
    tokenizer_dir: Optional[Path] = None,
    streaming: Optional[StreamingConfig] = None,
) -> TrainedRecogniser:
    """Load an experiment.

    Args:
      choice: checkpoints. run: the device. language: of the audio, where codes depend on it.
      tokenizer_dir: where the tokenizer is, if not in the experiment folder.
      streaming: chunks, if audio is recognised as it comes: of a model that cannot, that is said first.
    Raises:
      FileNotFoundError: if a file of the experiment or its tokenizer is missing.
      ValueError: if there is no such checkpoint, the tokenizer is another one than in training, or the experiment is
        no recogniser, or not one for streams.
    """
    experiment = Experiment(Path(exp_dir))
    spec = experiment.spec()
    text_encoder = experiment.text_encoder()
    device = run.torch_device()
    model = experiment.build_model()
    if not isinstance(model, Transducer):
        raise ValueError(
            f"{exp_dir} holds a {type(model).__name__}, which is no recogniser and emits no text; give the folder of "
            "one."
        )
    load_into(model, resolve_choice(choice, exp_dir), exp_dir)
    model.to(device).eval()
    if streaming is not None:
        StreamingEncoder(model, streaming)
    # Last, as the networks of a tokenizer may be large, and may have to be fetched.
    tokenizer = load_experiment_tokenizer(experiment.exp_dir, spec, tokenizer_dir)
    tokenizer = in_language(tokenizer, language, str(experiment.exp_dir))
    return TrainedRecogniser(experiment, spec, tokenizer, text_encoder, model, device)
