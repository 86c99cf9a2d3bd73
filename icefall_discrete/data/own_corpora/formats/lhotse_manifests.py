"""Manifests of lhotse: cuts, or recordings and supervisions; a file of cuts, or a folder of such files by split."""

from pathlib import Path
from typing import Any, Dict, Iterator, List

from lhotse import CutSet, MonoCut
from lhotse.cut import Cut
from lhotse.utils import fastcopy

from icefall_discrete.data.manifest_lines import cut_of, read_lines, read_values
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.own_corpora.formats.contract import Found, Reading, SourceFormat, joined, known_split

_ENDS = (".jsonl", ".jsonl.gz")
_ADVICE = "correct the manifest, or have lhotse make it again"


def _manifests(source: Path, kind: str) -> List[Path]:
    if source.is_file():
        # No other format has .jsonl.gz, so that such a file is one of cuts whatever it is called.
        is_one = source.name.endswith(".jsonl.gz") or ("cuts" in source.name and source.name.endswith(_ENDS))
        return [source] if kind == "cuts" and is_one else []
    return sorted(path for path in source.glob(f"*{kind}*") if path.name.endswith(_ENDS))


def _utterances(cut: Cut, where: str, reading: Reading) -> Iterator[MonoCut]:
    """The cuts of a cut's utterances, with nothing but audio and what is said of them."""
    if not isinstance(cut, MonoCut) or not cut.has_recording:
        raise CorpusError(
            f"{where}: cut {cut.id} is a {type(cut).__name__}, "
            "expected one with a recording of its own and one channel; write such cuts to files with lhotse first."
        )
    plain = fastcopy(cut, features=None, custom=None)
    parts = [plain]
    if len(cut.supervisions) != 1 or abs(cut.supervisions[0].start) > 1e-3:
        parts = list(CutSet.from_cuts([plain]).trim_to_supervisions(keep_overlapping=False))
    for part in parts:
        (said,) = part.supervisions
        name = said.id if len(parts) > 1 else cut.id
        language = said.language or reading.language
        yield fastcopy(part, id=name, supervisions=[fastcopy(said, id=name, language=language)])


def _named(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise ValueError("it is no object with an id")
    return value


def _joined_lines(recordings: Path, supervisions: Path) -> Iterator[Cut]:
    """A cut for each supervision."""
    by_id: Dict[str, Any] = {one["id"]: one for one in read_values(recordings, _named, _ADVICE)}

    def cut_of_supervision(value: Any) -> Cut:
        said = _named(value)
        if said.get("recording_id") not in by_id:
            raise ValueError(f"recording {said.get('recording_id')!r} of {said['id']} is not in {recordings}")
        channel = said.get("channel", 0)
        values = {"type": "MonoCut", "id": said["id"], "start": said.get("start"), "duration": said.get("duration")}
        values["channel"] = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel
        return cut_of({**values, "recording": by_id[said["recording_id"]], "supervisions": [{**said, "start": 0.0}]})

    return read_values(supervisions, cut_of_supervision, _ADVICE)


class LhotseManifests(SourceFormat):
    """*cuts*.jsonl.gz, or pairs of *recordings* and *supervisions* whose names are the same but for that word."""

    def suits(self, source: Path) -> bool:
        """See `SourceFormat`."""
        return bool(_manifests(source, "cuts") or _manifests(source, "supervisions"))

    def read(self, source: Path, reading: Reading) -> Found:
        """See `SourceFormat`."""
        parts = []
        for path in _manifests(source, "cuts"):
            parts.append(self._part(path, read_lines(path, _ADVICE), reading))
        for path in _manifests(source, "supervisions") if not parts else ():
            recordings = path.with_name(path.name.replace("supervisions", "recordings"))
            if not recordings.is_file():
                raise CorpusError(f"{path} has no {recordings.name} beside it; both are needed.")
            parts.append(self._part(path, _joined_lines(recordings, path), reading))
        if not parts:
            raise CorpusError(f"{source} holds no manifests of lhotse (*cuts*.jsonl.gz, or *supervisions*.jsonl.gz).")
        return joined(parts)

    @staticmethod
    def _part(path: Path, cuts: Iterator[Cut], reading: Reading) -> Found:
        utterances = [one for cut in cuts for one in _utterances(cut, str(path), reading)]
        split = known_split(path.name)
        return Found(utterances, {one.id: split for one in utterances} if split else {}, {})
