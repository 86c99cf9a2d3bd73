"""What is left of a split whose codes were found: a folder like one of features, and the audio that they become."""

from pathlib import Path
from typing import Iterable, List, Tuple

from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, storage_dtype, without_frames, write_cuts
from icefall_discrete.systems.vocoder.files import VocoderFiles


class CodeFiles(VocoderFiles):
    """Paths of one decoding: codes, and what is made of them as of a vocoder."""

    def codes(self, split: str) -> Path:
        """Folder of codes, like one of features: spec.json, <split>.codes, <split>.jsonl.gz."""
        return self.folder / f"codes-{split}-{self.suffix}"

    def said(self, split: str) -> Path:
        """The manifest of the codes; a cut for each of `names_of` of each cut of the split."""
        return self.codes(split) / f"{split}.jsonl.gz"

    def names_of(self, cut_id: str) -> List[str]:
        """What is found of a cut is called this: as itself."""
        return [cut_id]

    def write(self, split: str, found: Iterable[Tuple[Cut, Tensor]], spec: FeatureSpec) -> None:
        """Write codes (T, K) of `spec`, each of a cut with what it is called; nothing that was said before is left."""
        self.forget(split)
        folder, outputs = self.codes(split), []
        folder.mkdir(parents=True, exist_ok=True)
        with FlatArchiveWriter(folder / f"{split}.codes") as writer:
            for cut, codes in found:
                key = writer.store_array(cut.id, codes.numpy().astype(storage_dtype(spec))).storage_key
                outputs.append(attach_stored(without_frames(cut), [key], spec, f"{split}.codes"))
        spec.write(folder / "spec.json")
        write_cuts(self.said(split), outputs)
