"""Shards of cuts: the lines that lhotse writes, the same bytes each time."""

import gzip

import toy_corpus
from lhotse import CutSet, MonoCut
from lhotse.shar import JsonlShardWriter

from icefall_discrete.data.cut_shards import CutShardWriter
from icefall_discrete.data.cuts import attach_stored, without_frames


def test_lines_are_those_of_lhotse_and_bytes_the_same_each_time(tmp_path):
    cuts = [
        attach_stored(cut.perturb_speed(0.9), ["0,25,2,int16"], toy_corpus.make_tokenizer().spec, "train.codes")
        for cut in toy_corpus.make_cuts(tmp_path / "audio", 5)
    ]
    cuts[1].custom["mood"] = {"of": ["the", ("day", 1e-07, None)], "glad": True}
    cuts[2].custom = {}
    cuts.append(MonoCut("bare", 0.0, 1.0, 0))
    folders = [tmp_path / name for name in ("ours", "again", "theirs")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[:2]:
        with CutShardWriter(folder, 4) as writer:
            for cut in cuts:
                writer.write(cut)
    with JsonlShardWriter(f"{folders[2]}/cuts.%06d.jsonl.gz", 4) as theirs:
        for cut in cuts:
            theirs.write(without_frames(cut))
    ours, again, expected = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert ours == again and len(ours) == 2
    unpacked = [{name: gzip.decompress(data) for name, data in shards.items()} for shards in (ours, expected)]
    assert unpacked[0] == unpacked[1]
    assert [cut.id for name in sorted(ours) for cut in CutSet.from_file(folders[0] / name)] == [cut.id for cut in cuts]
    assert "codes" in cuts[0].custom
