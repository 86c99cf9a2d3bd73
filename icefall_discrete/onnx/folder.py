"""The folder of an exported recogniser: its parts as ONNX files, and model.json, which says how they are used."""

import dataclasses
from pathlib import Path
from typing import Dict, Iterable, Tuple

from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.settings import LEAST_TEMPERATURE, from_dict, section, setting, to_dict
from icefall_discrete.decoding.joint_settings import LabelSearchConfig
from icefall_discrete.decoding.settings import DecodeConfig

MODEL_FILE, SPEC_FILE, PIECES_FILE, TOKENS_FILE = "model.json", "spec.json", "bpe.model", "tokens.txt"
# Raised by whoever changes what a file means.
FORMAT = 2
AGAIN = "copy the folder anew, or export the model again"
ENCODER, DECODER, JOINER, CTC, TOKENIZER = "encoder", "decoder", "joiner", "ctc", "tokenizer"
ATTENTION_ENCODER, ATTENTION_DECODER = "attention_encoder", "attention_decoder"
# The input of an encoder of chunks: frames behind the front end that are before the end of the stream.
NUM_FRAMES = "num_frames"
# What no encoder of chunks comes near: more would fill the memory before a network is asked.
_MOST_FRAMES, _MOST_SAMPLES = 1 << 16, 1 << 20


@dataclasses.dataclass(frozen=True)
class Chunks:
    """How a stream is divided for an encoder of chunks; nothing of it for an encoder of whole utterances."""

    chunk_size: int = setting(0, "frames of a chunk behind the front end", minimum=0, maximum=_MOST_FRAMES)
    window_frames: int = setting(0, "frames that the encoder takes for a chunk", minimum=0, maximum=_MOST_FRAMES)
    lead_frames: int = setting(0, "frames of padding before the first", minimum=0, maximum=_MOST_FRAMES)
    front_end_stride: int = setting(1, "frames for one behind the front end", minimum=1, maximum=_MOST_FRAMES)
    edge_frames: int = setting(0, "what makes all frames of a stream, divided by that, all behind the front end")
    encoder_stride: int = setting(
        1, "frames behind the front end for one of the encoder", minimum=1, maximum=_MOST_FRAMES
    )
    hop_samples: int = setting(
        0, "samples from frame to frame; 0: the folder takes frames, not audio", minimum=0, maximum=_MOST_SAMPLES
    )
    behind_samples: int = setting(0, "samples that a frame hears before its hop", minimum=0, maximum=_MOST_SAMPLES)
    ahead_samples: int = setting(0, "samples that it hears behind it", minimum=0, maximum=_MOST_SAMPLES)

    @property
    def go_on(self) -> bool:
        """Whether a stream that is divided so comes to an end."""
        return self.hop_samples > 0 and 0 < self.chunk_size * self.front_end_stride <= self.window_frames


@dataclasses.dataclass(frozen=True)
class ExportedModel(LabelSearchConfig):
    """What model.json says."""

    format: int = setting(FORMAT, "version of these files")
    parts: Tuple[str, ...] = setting((), "names of the networks that there are")
    has_int8: bool = setting(False, "whether each is there with weights of 8 bits too, as <name>.int8.onnx")
    streaming: bool = setting(False, "whether the encoder takes chunks and states")
    checkpoint: str = setting("", "which checkpoints of the experiment were taken")
    decoding_method: str = setting("greedy_search", "search that the experiment's recipe asks for")
    beam_size: int = setting(4, "prefixes kept by beam searches", minimum=1)
    max_sym_per_frame: int = setting(1, "most labels that greedy_search finds on a frame", minimum=1)
    blank_penalty: float = setting(0.0, "taken off the logit of blank")
    temperature: float = setting(1.0, "divides the logits in beam searches", minimum=LEAST_TEMPERATURE)
    emit_unk: bool = setting(False, "whether searches may find <unk>")
    attention_scale: float = setting(1.0, "weight of the attention decoder where it rescores")
    min_samples: int = setting(0, "the shortest audio, in samples", minimum=0)
    max_samples: int = setting(0, "the longest audio that is recognised in one piece, in samples; 0: any", minimum=0)
    chunks: Chunks = section(Chunks, "of an encoder of streams")
    sha256: Tuple[str, ...] = setting((), "of each file: its name, a colon, its hash")

    def digests(self) -> Dict[str, str]:
        """The hash of each file, by its name."""
        return dict(entry.rsplit(":", 1) for entry in self.sha256)


def search_settings() -> Tuple[str, ...]:
    """The settings of searches that model.json has under the names of the recipe's."""
    names = {field.name for field in dataclasses.fields(ExportedModel)}
    return tuple(field.name for field in dataclasses.fields(DecodeConfig) if field.name in names)


def write_model(folder: Path, model: ExportedModel, files: Iterable[str]) -> None:
    """Write model.json with the hashes of `files` of the folder."""
    hashes = tuple(f"{name}:{digest_of_file(folder / name, as_bytes=True)}" for name in sorted(files))
    write_json(folder / MODEL_FILE, to_dict(dataclasses.replace(model, sha256=hashes)))


def read_model(folder: Path) -> ExportedModel:
    """Read model.json.

    Raises:
      FileNotFoundError: for a folder that holds no exported model. ValueError: for one of a later version, or damaged.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {MODEL_FILE}; give a folder that `icefall-discrete export` wrote.")
    values = read_object(path, "how an exported model is used")
    if "format" not in values and "files" in values:
        raise ValueError(
            f"{folder} is a model folder for PyTorch, as `icefall-discrete push` writes them; export it by "
            "icefall-discrete export --exp-dir, or run it by transcribe --model."
        )
    if values.get("format", FORMAT) != FORMAT:
        raise ValueError(
            f"{path} is of format {values['format']}, but this version reads {FORMAT}; install the version that wrote "
            "it, or export the model again."
        )
    model: ExportedModel = from_dict(ExportedModel, values, str(path))
    wrong = [entry for entry in model.sha256 if ":" not in entry]
    if wrong:
        raise ValueError(f"{path}: 'sha256' has {wrong[0]!r}, expected a name, a colon and a hash; {AGAIN}.")
    return model


def checked_file(folder: Path, model: ExportedModel, name: str) -> Path:
    """The path of a file of the folder. Raises ValueError or FileNotFoundError if it is not what was written."""
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; copy the whole folder anew, or export the model again.")
    if digest_of_file(path, as_bytes=True) != model.digests().get(name):
        raise ValueError(f"{path} is not the file that was exported; copy it anew, or export the model again.")
    return path
