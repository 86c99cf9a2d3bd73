"""What is left of a split that was enhanced or parted: codes, the audio that they become, and what belongs to them."""

from pathlib import Path
from typing import Dict, List, Sequence

from lhotse.cut import Cut

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.sources import load_source_cuts
from icefall_discrete.data.targets.sources import SourceTargets
from icefall_discrete.systems.code_files import CodeFiles

METHOD = "enhancement"


def output_id(cut_id: str, source: str, sources: Sequence[str]) -> str:
    """What is found of a source of a mixture is called this: as the mixture, where there is but one source."""
    return cut_id if len(sources) == 1 else f"{cut_id}-{source}"


class EnhancementFiles(CodeFiles):
    """Paths of one enhancement; a cut for each source of each mixture (`output_id`)."""

    def names_of(self, cut_id: str) -> List[str]:
        """What is found of the sources of a mixture."""
        return [output_id(cut_id, source, self.sources) for source in self.sources]

    @property
    def sources(self) -> List[str]:
        """Names of the sources, as the experiment has them."""
        return SourceTargets.load(self.folder.parent).names

    def recordings(self, feature_dir: Path, split: str) -> Dict[str, Cut]:
        """The sources themselves."""
        found: Dict[str, Cut] = {}
        for source in self.sources:
            cuts = load_source_cuts(feature_dir, split, source)
            found.update((output_id(name, source, self.sources), cut) for name, cut in cuts.items())
        return found

    def inputs(self, feature_dir: Path, split: str) -> Dict[str, Cut]:
        """The mixtures."""
        cuts = load_cuts(Path(feature_dir) / f"{split}.jsonl.gz")
        return {output_id(cut.id, source, self.sources): cut for cut in cuts for source in self.sources}
