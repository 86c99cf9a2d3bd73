"""`icefall-discrete export`: writes a trained recogniser for other runtimes, in parts, with icefall's names.

--to onnx: for onnxruntime, and with the tokenizer for `icefall-discrete onnx`, which needs no PyTorch. --to sherpa: for
sherpa-onnx, which computes filter banks itself, so that only models of those are exported. --to torchscript: for
torch.jit.load. Each file is compared with PyTorch before the folder is there.
"""

import dataclasses
import itertools
import logging
import math
import shutil
from pathlib import Path
from typing import List, Optional, Sequence

from icefall_discrete.base.atomic_files import new_folder, require_new_folder
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.settings import check_settings, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings, load_experiment_tokenizer
from icefall_discrete.export.for_sherpa import known_to_sherpa, require_known_to_sherpa
from icefall_discrete.export.onnx_files import export_onnx, require_packages
from icefall_discrete.export.parts import Part, whole_parts
from icefall_discrete.export.streaming import chunks_of, streaming_parts
from icefall_discrete.export.tokenizer import longest_audio, shortest_audio, tokenizer_part
from icefall_discrete.export.torchscript import export_torchscript
from icefall_discrete.nn.adaptation import merge_changes
from icefall_discrete.onnx.folder import (
    PIECES_FILE,
    SPEC_FILE,
    TOKENS_FILE,
    ExportedModel,
    search_settings,
    write_model,
)
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.tokenizers.contract import SpeechTokenizer
from icefall_discrete.tokenizers.networks.frame_graph import NotExported

LOG = logging.getLogger(__name__)
ONNX, TORCHSCRIPT, SHERPA = "onnx", "torchscript", "sherpa"
_RECOGNISER = "asr"
_HAND_ON = "hand it on as a model folder that runs on PyTorch, by icefall-discrete push"
_OTHERS = ("classification", "enhancement", "perceptual", "speech_lm", "tts", "unit_lm", "vocoder")
_INSTEAD = dict.fromkeys(_OTHERS, _HAND_ON)
# Of the other systems, encoders that learn without labels.
_TRAIN_FROM_IT = "train a recogniser from it, by run.sh --init-from, and export that"


@dataclasses.dataclass(frozen=True)
class ExportConfig(StreamingConfig):
    """What is written."""

    to: str = setting(ONNX, "the runtime that it is for", choices=(ONNX, TORCHSCRIPT, SHERPA))
    int8: bool = setting(True, "write each ONNX file with matrices of 8 bits too, <name>.int8.onnx")
    streaming: bool = setting(False, "an encoder of chunks with states, for a model that was trained with causal")

    def __post_init__(self) -> None:
        check_settings(self)


def get_parser(prog: str) -> ScriptParser:
    """The flags of `export`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the trained experiment")
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    parser.add_argument("--out-dir", type=Path, help="folder to make (default: <exp-dir>/<runtime>)")
    add_flags(parser, ExportConfig)
    add_flags(parser, CheckpointChoice, "average")
    return parser


def require_recogniser(exp_dir: Path, system: str) -> None:
    """Raise ValueError, in one sentence that says what to do, unless experiments of that system are exported."""
    if system != _RECOGNISER:
        raise ValueError(
            f"{exp_dir} was trained as system '{system}', and recognisers alone are exported; "
            f"{_INSTEAD.get(system, _TRAIN_FROM_IT)}."
        )


def load_recogniser(exp_dir: Path, choice: CheckpointChoice) -> Transducer:
    """The recogniser of an experiment with the weights of a resolved choice, in evaluation mode.

    Raises:
      ValueError: if the experiment is of another system.
    """
    model = Experiment(exp_dir).build_model()
    if not isinstance(model, Transducer):
        raise ValueError(
            f"{exp_dir} holds a {type(model).__name__}, which is no recogniser and emits no text; give the folder of "
            "one."
        )
    load_into(model, choice, exp_dir)
    merge_changes(model)
    return model.eval()


def export_parts(parts: Sequence[Part], folder: Path, config: ExportConfig) -> List[str]:
    """Write the parts to a folder; returns the names of the files."""
    files: List[str] = []
    for part in parts:
        if config.to == TORCHSCRIPT:
            files.append(export_torchscript(part, folder))
        else:
            files += export_onnx(part, folder, config.int8)
    return files


def export(
    exp_dir: Path,
    out_dir: Path,
    config: ExportConfig,
    choice: CheckpointChoice,
    decode: DecodeConfig,
    tokenizer_dir: Optional[Path] = None,
) -> None:
    """Write the folder `out_dir`, whole or not at all.

    Raises:
      ValueError: if it is there and not empty, or the model cannot be exported so; the sentence says why.
    """
    require_new_folder(out_dir)
    experiment = Experiment(exp_dir)
    # Of a folder that holds no experiment, that is to be said, not what it lacks.
    require_recogniser(exp_dir, experiment.settings().system)
    spec, pieces = experiment.spec(), experiment.text_encoder()
    if config.to != TORCHSCRIPT:
        require_packages(config.int8)
    choice = resolve_choice(choice, exp_dir)
    model = load_recogniser(exp_dir, choice)
    if config.to == SHERPA:
        require_known_to_sherpa(model, spec, config.streaming)
    parts = streaming_parts(model, spec, config, config.to != SHERPA) if config.streaming else whole_parts(model, spec)
    if config.to == SHERPA:
        parts = known_to_sherpa(parts)
    tokenizer = None
    if config.to == ONNX:
        tokenizer = exported_tokenizer(exp_dir, spec, tokenizer_dir, config.streaming)
        parts += [] if tokenizer is None else [tokenizer_part(tokenizer)]
    with new_folder(out_dir) as folder:
        files = export_parts(parts, folder, config)
        pieces.write_tokens(folder / TOKENS_FILE)
        shutil.copyfile(pieces.path, folder / PIECES_FILE)
        spec.write(folder / SPEC_FILE)
        described = _described(parts, config, choice, decode)
        if config.streaming:
            described = _of_streams(described, model, config, tokenizer)
        elif tokenizer is not None:
            longest = longest_audio(tokenizer, experiment.settings().filter.max_utterance_sec)
            least = max(shortest_audio(tokenizer), _samples_for_a_frame(model, spec))
            described = dataclasses.replace(described, min_samples=least, max_samples=longest)
        write_model(folder, described, [*files, TOKENS_FILE, PIECES_FILE, SPEC_FILE])
    LOG.info(f"{out_dir}: {', '.join(files)}, {TOKENS_FILE}, {PIECES_FILE}")


def exported_tokenizer(
    exp_dir: Path, spec: FeatureSpec, tokenizer_dir: Optional[Path], of_streams: bool = False
) -> Optional[SpeechTokenizer]:
    """The experiment's tokenizer; None, with a line in the log, where it is not exported.

    of_streams: whether it is to make frames while audio comes.
    Raises ValueError if it is another one than in training.
    """
    try:
        tokenizer = load_experiment_tokenizer(exp_dir, spec, tokenizer_dir)
        tokenizer.graph()
        if of_streams and tokenizer.reach is None:
            raise NotExported(f"'{tokenizer.name}' hears the whole utterance before its first frame is made.")
    except (FileNotFoundError, NotExported) as error:
        LOG.warning(f"the folder will take {spec.kind}, not audio: {error}")
        return None
    return tokenizer


def _samples_for_a_frame(model: Transducer, spec: FeatureSpec) -> int:
    """Samples of the shortest audio that gives the encoder a frame."""
    frames = next(count for count in itertools.count(1) if model.config.num_encoder_frames(count, spec) > 0)
    return math.ceil(frames * spec.sample_rate_hz / spec.frame_rate_hz)


def _of_streams(
    described: ExportedModel, model: Transducer, config: StreamingConfig, tokenizer: Optional[SpeechTokenizer]
) -> ExportedModel:
    """The description with what divides streams of frames, and of audio where the tokenizer goes along."""
    chunks = chunks_of(model, config)
    if tokenizer is None or tokenizer.reach is None:
        return dataclasses.replace(described, chunks=chunks)
    reach = tokenizer.reach
    chunks = dataclasses.replace(
        chunks,
        hop_samples=reach.hop,
        behind_samples=reach.behind,
        ahead_samples=reach.ahead,
    )
    return dataclasses.replace(described, chunks=chunks, min_samples=shortest_audio(tokenizer))


def _described(
    parts: Sequence[Part], config: ExportConfig, choice: CheckpointChoice, decode: DecodeConfig
) -> ExportedModel:
    return ExportedModel(
        parts=tuple(part.name for part in parts),
        has_int8=config.int8 and config.to != TORCHSCRIPT,
        streaming=config.streaming,
        checkpoint=choice.suffix,
        **{name: getattr(decode, name) for name in search_settings()},
    )


def main(prog: str, arguments: Sequence[str]) -> None:
    """Export what the flags ask for."""
    args = get_parser(prog).parse_args(arguments)
    config = override(ExportConfig(), args)
    choice, decode = kept_settings(args.exp_dir)
    choice = override(choice, args, "average")
    export(args.exp_dir, args.out_dir or args.exp_dir / config.to, config, choice, decode, args.tokenizer_dir)
