"""Codecs that the transformers library runs: loading a folder of safetensors strictly, whatever the version."""

from pathlib import Path
from typing import Any, ClassVar, List, Sequence

from icefall_discrete.tokenizers.formats.pretrained import locate_folder, safetensors_files
from icefall_discrete.tokenizers.networks.codec import CodecTokenizer

# A module of transformers, which is imported only where it is used; what it has is the release's matter.
TransformersModel = Any


def load_pretrained(class_name: str, files: Sequence[Path]) -> TransformersModel:
    """Load model `class_name` of transformers from the folder of `files`, in float32.

    Raises:
      ImportError: if transformers is missing or too old for the model. ValueError: if weights are missing.
    """
    try:
        import transformers
    except ImportError:
        raise ModuleNotFoundError(
            f"{class_name} runs through transformers, which is not installed; run `pip install transformers`."
        ) from None
    cls = getattr(transformers, class_name, None)
    if cls is None:
        raise ImportError(
            f"transformers {transformers.__version__} has no {class_name}; a newer one has "
            "(it needs a newer torch too: use the portable environment)."
        )
    folder = files[0].parent
    model, report = cls.from_pretrained(
        folder, use_safetensors=True, local_files_only=True, trust_remote_code=False, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} weights of {class_name} ({', '.join(missing[:3])} ...); download it again."
        )
    return model.float().eval()


class TransformersCodecTokenizer(CodecTokenizer):
    """A codec of transformers; a subclass says what `model_type` its config.json must have."""

    libraries = ("torch", "transformers")
    model_type: ClassVar[str]

    def _weight_files(self) -> List[Path]:
        return safetensors_files(locate_folder(self.config.model, self.kind), self.model_type)
