"""What is left of a split whose texts were said: units; audio, once a vocoder has said them; what was heard; a page."""

from pathlib import Path
from typing import Iterable, Iterator, List, Tuple

import numpy as np
from lhotse import MonoCut, SupervisionSegment
from lhotse.cut import Cut
from lhotse.utils import fastcopy
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, storage_dtype
from icefall_discrete.systems.vocoder.files import VocoderFiles

METHOD = "synthesis"


class SynthesisFiles(VocoderFiles):
    """Paths of one synthesis."""

    def units(self, split: str) -> Path:
        """Folder of the units, as extraction leaves codes: spec.json, `<split>.jsonl.gz` and their archive."""
        return self.folder / f"units-{split}-{self.suffix}"

    def said(self, split: str) -> Path:
        """The manifest of the units."""
        return self.units(split) / f"{split}.jsonl.gz"

    def sounding(self, split: str) -> List[Path]:
        """The audio; where no vocoder said it, the units, which a recogniser reads."""
        return super().sounding(split) if self.listed(split).is_file() else [self.said(split), self.archive(split)]

    def archive(self, split: str) -> Path:
        """The units themselves."""
        return self.units(split) / f"{split}.codes"


def write_units(
    split: str, files: SynthesisFiles, spec: FeatureSpec, told: Iterable[Tuple[Cut, Tensor]]
) -> Iterator[Tuple[str, Cut]]:
    """Store units (T, K) that were told of the texts of cuts as extraction stores codes; the manifest is not written.

    Audio and what was heard of units of before are no longer listed.

    Returns:
      cut ids, and cuts of the units.
    """
    files.forget(split)
    folder = files.units(split)
    folder.mkdir(parents=True, exist_ok=True)
    spec.write(folder / "spec.json")
    with FlatArchiveWriter(files.archive(split)) as writer:
        for cut, units in told:
            key = writer.store_array(cut.id, units.numpy().astype(np.dtype(storage_dtype(spec)))).storage_key
            yield cut.id, attach_stored(_spoken_cut(cut, len(units), spec), [key], spec, files.archive(split).name)


def _spoken_cut(cut: Cut, num_frames: int, spec: FeatureSpec) -> MonoCut:
    """A cut of the units of the text of `cut`: its facts, as long as they last, without a recording."""
    duration = round(num_frames / spec.frame_rate_hz, 8)
    first = min(cut.supervisions, key=lambda supervision: supervision.start)
    said: SupervisionSegment = fastcopy(first, start=0.0, duration=duration, alignment=None)
    return MonoCut(cut.id, 0.0, duration, 0, supervisions=[said])
