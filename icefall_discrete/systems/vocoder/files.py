"""What is left of a split that a vocoder has said: audio files, and the list of them."""

from pathlib import Path
from typing import Container, Dict, Iterable, List, NamedTuple, Sequence
from urllib.parse import quote

from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import digest_of_file, digest_of_lines
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.systems.prediction import OutputFiles, rows_of_split

METHOD = "resynthesis"
NOBODY = "-"
_AUDIO = "audio_sha256"
_MAX_NAME = 150


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


class Said(NamedTuple):
    """A line about a cut: its audio file, relative to the folder, and the voice that says it; -: nobody's."""

    cut_id: str
    audio: str
    voice: str


class VocoderFiles(OutputFiles):
    """Paths of one resynthesis."""

    def said(self, split: str) -> Path:
        """The list of audio files."""
        return self.listed(split)

    def listed(self, split: str) -> Path:
        """`<cut id><tab><audio file><tab><voice>`, sorted by cut id."""
        return self.folder / f"audio-{split}-{self.suffix}.tsv"

    def audio(self, split: str) -> Path:
        """Folder of audio files."""
        return self.folder / f"audio-{split}-{self.suffix}"

    def heard(self, split: str) -> Path:
        """What a recogniser heard (scoring.py); there if one was asked."""
        return self.folder / f"heard-{split}-{self.suffix}.tsv"

    def heard_inputs(self, split: str) -> Path:
        """The same of `inputs`, in place of what was said."""
        return self.folder / f"heard-inputs-{split}-{self.suffix}.tsv"

    def heard_voices(self, split: str) -> Path:
        """Whose voices were heard (heard.py); there if a model that tells voices was asked."""
        return self.folder / f"voices-{split}-{self.suffix}.tsv"

    def forget(self, split: str) -> None:
        """Remove the lists of what was said and heard of a split: it is said anew."""
        noted = (self.heard(split), self.heard_voices(split))  # not of inputs: those are no audio that is said
        for path in (self.listed(split), self.heard_inputs(split), *noted, *map(_note, noted)):
            path.unlink(missing_ok=True)

    def sounding(self, split: str) -> List[Path]:
        """The files that listeners hear of a split."""
        return [self.folder / line.audio for line in read_said(self.listed(split))]

    def note_heard(self, split: str, path: Path) -> None:
        """Note beside a list of what was heard, which audio that was."""
        write_json(_note(path), {_AUDIO: self._digest(split)})

    def require_heard(self, split: str, path: Path) -> None:
        """Raise ValueError for a list of what was heard in other audio than there is now; no note: nothing is known."""
        note = _note(path)
        if note.is_file() and read_object(note, "a note of audio").get(_AUDIO) != self._digest(split):
            raise ValueError(
                f"{path} tells what was heard in other audio than {self.folder} has of {split} now; let stage 7 hear "
                f"it again (local/{'judge_voices' if path == self.heard_voices(split) else 'hear_speech'}.py), or move "
                "that file away, and it is scored without."
            )

    def _digest(self, split: str) -> str:
        return digest_of_lines(f"{path.name} {digest_of_file(path)}" for path in self.sounding(split))

    def recordings(self, feature_dir: Path, split: str) -> Dict[str, Cut]:
        """What is to be heard, by the ids of `listed`: the cuts' own audio."""
        return {cut.id: cut for cut in load_cuts(Path(feature_dir) / f"{split}.jsonl.gz")}

    def inputs(self, feature_dir: Path, split: str) -> Dict[str, Cut]:
        """What it was made of, where that is other audio than what is to be heard: none."""
        return {}

    def page(self, split: str) -> Path:
        """What was said beside the recordings, to listen to; scoring writes it, where there is audio."""
        return self.folder / f"audio-{split}-{self.suffix}.html"


def audio_name(cut_id: str, number: int) -> str:
    """The name of the audio file of a cut, the `number`-th of its split."""
    return f"{quote(cut_id, safe='')[:_MAX_NAME]}-{number}.flac"


def require_there(names: Iterable[str], there: Container[str], told: Path, feature_dir: PathLike) -> None:
    """Raise ValueError for a name of `told`, which is not among those that are `there`, in a folder of features."""
    lacking = next((name for name in names if name not in there), None)
    if lacking is not None:
        raise ValueError(
            f"{told}: cut {lacking} is not in {feature_dir}; give the folder of features whose cuts were decoded, or "
            "decode the split again."
        )


def write_said(path: PathLike, lines: Sequence[Said]) -> None:
    """Write what `read_said` reads, sorted by cut id."""
    write_text(path, "".join("\t".join(line) + "\n" for line in sorted(lines)))


def read_said(path: PathLike) -> List[Said]:
    """Read what was written for a split. Raises FileNotFoundError, or ValueError naming the line."""
    lines = []
    for number, parts in rows_of_split(path):
        if len(parts) != len(Said._fields):
            raise ValueError(f"{path}:{number}: {len(parts)} columns, expected {len(Said._fields)}; decode again.")
        path_inside(Path(path).parent, parts[1], f"{path}:{number}: the audio file")
        lines.append(Said(*parts))
    return lines
