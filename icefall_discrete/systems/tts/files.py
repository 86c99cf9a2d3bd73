"""What is left of a split whose texts were said: units; audio, once a vocoder has said them; what was heard; a page."""

from pathlib import Path

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
