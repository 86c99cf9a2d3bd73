"""Shar and manifests at addresses: the bytes of the disk, exact resume, and one sentence for whatever goes wrong."""

import functools
import http.server
import json
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from icefall_discrete.base.addresses import Address, AddressError, is_address, readable
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach_stored, load_audio_cuts, load_cuts, load_frames, write_cuts
from icefall_discrete.data.dataset import BatchDataset
from icefall_discrete.data.loaders import LoaderConfig, make_epoch_batches
from icefall_discrete.data.shar import KeptCuts, SharConfig, SharSource, export_shar, require_current

SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)
NUM_CUTS = 11
BUCKET = "speech"
LAST = "train/toy/frames.000002.tar"


@pytest.fixture(scope="module")
def shar(tmp_path_factory):
    """A folder with `train`, exported in three shards, and `cuts.jsonl.gz`, the manifest that it is of."""
    folder, rng, cuts = tmp_path_factory.mktemp("shar"), np.random.default_rng(0), []
    with FlatArchiveWriter(folder / "train.codes") as writer:
        for number in range(NUM_CUTS):
            size = int(rng.integers(50, 90))
            key = writer.write(f"cut-{number}", rng.integers(0, 500, (size, 1)).astype(np.int16))
            said = SupervisionSegment(f"cut-{number}", f"r{number}", 0.0, size / 50, text="forty two", language="en")
            sources = [AudioSource("file", [0], f"r{number}.flac")]
            recording = Recording(f"r{number}", sources, 16000, size * 320, size / 50)
            cut = MonoCut(f"cut-{number}", 0.0, size / 50, 0, recording=recording, supervisions=[said])
            cuts.append(attach_stored(cut, [key], SPEC, "train.codes"))
    write_cuts(folder / "cuts.jsonl.gz", cuts)
    export_shar(load_cuts(folder / "cuts.jsonl.gz"), SPEC, folder / "train", SharConfig(shard_size=4))
    return folder


@pytest.fixture(scope="module")
def s3(shar):
    """A client of an S3 server on this machine that holds the files of `shar`; what it wants is in the environment."""
    server_module = pytest.importorskip("moto.server", reason="moto, which stands for S3, is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed (extra 'storage')")
    pytest.importorskip("smart_open", reason="smart_open is not installed (extra 'storage')")
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        patch.setattr("icefall_discrete.base.addresses._CLIENTS", {})
        client = boto3.session.Session().client("s3")
        client.create_bucket(Bucket=BUCKET)
        for path in sorted(shar.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), BUCKET, str(path.relative_to(shar)))
        yield client
    server.stop()


def keep_all(cut):
    return True


def batches(source, epoch=1, start_batch=0):
    kept = KeptCuts(source, keep_all, {"en": 0.01}, NUM_CUTS)
    config = LoaderConfig(max_duration=5.0, num_buckets=2)
    return list(make_epoch_batches(kept, config, BatchDataset(SPEC, AugmentConfig(), 7, epoch), start_batch))


def assert_same(found, expected):
    assert [batch["cut_ids"] for batch in found] == [batch["cut_ids"] for batch in expected]
    for left, right in zip(found, expected):
        assert torch.equal(left["codes"], right["codes"]) and torch.equal(left["frame_lens"], right["frame_lens"])


def test_batches_and_their_rest_are_those_of_the_disk(s3, shar):
    here, there = SharSource(shar / "train", "toy"), SharSource(f"s3://{BUCKET}/train", "toy")
    assert (there.spec, there.summary) == (here.spec, here.summary)
    for epoch in (1, 2):
        whole = batches(here, epoch)
        assert_same(batches(there, epoch), whole)
        assert_same(batches(there, epoch, start_batch=2), whole[2:])
    assert [cut.to_dict() for cut in there.cuts(3)] == [cut.to_dict() for cut in here.cuts(3)]
    require_current(readable(f"s3://{BUCKET}/train"), SPEC, shar / "cuts.jsonl.gz")


def test_nothing_is_left_behind_by_a_pass_that_ends_early(s3, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cuts = iter(SharSource(f"s3://{BUCKET}/train", "toy").cuts())
    assert next(cuts).id == "cut-0" and list(tmp_path.iterdir())
    cuts.close()
    assert not list(tmp_path.iterdir())


def test_a_manifest_is_read_from_its_address(s3, shar):
    found, expected = load_audio_cuts(readable(f"s3://{BUCKET}/cuts.jsonl.gz")), load_audio_cuts(shar / "cuts.jsonl.gz")
    assert [(cut.id, cut.duration, cut.recording) for cut in found] == [
        (cut.id, cut.duration, cut.recording) for cut in expected
    ]


def reading(address, feature_type="toy"):
    return list(SharSource(address, feature_type).cuts())


def test_what_is_missing_or_damaged_is_named(s3, shar):
    with pytest.raises(FileNotFoundError, match=rf"s3://{BUCKET}/dev/cuts/shar.json does not exist; export"):
        reading(f"s3://{BUCKET}/dev")
    with pytest.raises(AddressError, match=r"s3://nowhere/train/cuts/shar.json cannot be read: there is no such"):
        reading("s3://nowhere/train")
    with pytest.raises(AddressError, match=rf"s3://{BUCKET}/no.jsonl.gz does not exist; correct the address"):
        load_cuts(readable(f"s3://{BUCKET}/no.jsonl.gz"))
    address, content = f"s3://{BUCKET}/{LAST}", (shar / LAST).read_bytes()
    try:
        s3.put_object(Bucket=BUCKET, Key=LAST, Body=content[:-600])
        with pytest.raises(AddressError, match=rf"{address} gave {len(content) - 600} bytes of {len(content)}; run"):
            reading(f"s3://{BUCKET}/train")
        s3.put_object(Bucket=BUCKET, Key=LAST, Body=content[:-600] + bytes(599) + b"x")
        with pytest.raises(AddressError, match=rf"{address} is not what was exported: its content differs"):
            reading(f"s3://{BUCKET}/train")
        s3.delete_object(Bucket=BUCKET, Key=LAST)
        with pytest.raises(AddressError, match=rf"{address} does not exist; correct the address, or copy there"):
            reading(f"s3://{BUCKET}/train")
    finally:
        s3.put_object(Bucket=BUCKET, Key=LAST, Body=content)
    assert len(reading(f"s3://{BUCKET}/train")) == NUM_CUTS


def test_without_credentials_they_are_asked_for(s3, monkeypatch, tmp_path):
    monkeypatch.setattr("icefall_discrete.base.addresses._CLIENTS", {})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(AddressError, match=rf"s3://{BUCKET}/train/cuts/shar.json cannot be read: there are no credent"):
        reading(f"s3://{BUCKET}/train")


class _BreaksOff(http.server.SimpleHTTPRequestHandler):
    """Serves files; of the last shard a half, though it promises all."""

    def log_message(self, *args):
        pass

    def copyfile(self, source, target):
        content = source.read()
        target.write(content[: len(content) // 2] if self.path.endswith(LAST) else content)


@pytest.fixture
def web(shar):
    pytest.importorskip("smart_open", reason="smart_open is not installed (extra 'storage')")
    pytest.importorskip("requests", reason="requests is not installed (extra 'storage')")
    handler = functools.partial(_BreaksOff, directory=str(shar))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_server_that_breaks_off_or_is_gone_is_named(web, shar):
    found, here = [], [cut.to_dict() for cut in SharSource(shar / "train", "toy").cuts()]
    with pytest.raises(AddressError, match=rf"{web}/{LAST} (cannot be read \(.*\); see|gave \d+ bytes of)"):
        for cut in SharSource(f"{web}/train", "toy").cuts():
            found.append(cut.to_dict())
    assert found == here[:8]  # those of the whole shards, and none of the torn one
    with pytest.raises(FileNotFoundError, match=rf"{web}/train/mimi/spec.json does not exist; export feature type"):
        reading(f"{web}/train", "mimi")
    with pytest.raises(AddressError, match=r"http://127.0.0.1:9/train/cuts/shar.json cannot be read \(.*; see that"):
        reading("http://127.0.0.1:9/train")


def test_an_export_of_other_shards_is_refused(web, shar):
    listed = shar / "train" / "toy" / "checksums.json"
    before = listed.read_text()
    try:
        listed.write_text(json.dumps({"checksums": dict(list(json.loads(before)["checksums"].items())[:2])}))
        with pytest.raises(ValueError, match=rf"{web}/train/toy/checksums.json lists 2 shards, expected 3; copy"):
            reading(f"{web}/train")
    finally:
        listed.write_text(before)


def test_what_reads_addresses_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("lhotse.utils.SmartOpen.smart_open", None)
    monkeypatch.setitem(sys.modules, "smart_open", None)
    with pytest.raises(AddressError, match=r"https://a.org/train/cuts/shar.json is an address, .*discrete\[storage\]'"):
        SharSource("https://a.org/train", "toy")


def test_an_address_is_joined_and_named_as_a_path_is():
    address = readable("s3://bucket/shar") / "train" / "frames.000001.tar"
    assert str(address) == "s3://bucket/shar/train/frames.000001.tar" and isinstance(address, Address)
    assert (address.name, str(address.parent)) == ("frames.000001.tar", "s3://bucket/shar/train")
    assert pickle.loads(pickle.dumps(address)) == address
    assert str(readable(Path("s3://bucket/a"))) == "s3://bucket/a"  # a path has lost a slash
    for plain in ("data/shar", "/data/s3", "C:/data", "a:b"):
        assert not is_address(Path(plain)) and readable(plain) == Path(plain)


def test_what_has_to_lie_here_is_refused_as_a_flag(capsys):
    parser = ScriptParser("A stage.")
    parser.add_argument("--cuts", type=readable)
    parser.add_argument("--out-dir", type=Path, action="append")
    assert str(parser.parse_args(["--cuts", "s3://b/cuts.jsonl.gz"]).cuts) == "s3://b/cuts.jsonl.gz"
    with pytest.raises(SystemExit):
        parser.parse_args(["--out-dir", "here", "--out-dir", "s3://bucket/codes"])
    assert "--out-dir is 's3://bucket/codes', an address, expected a place on this machine" in capsys.readouterr().err


def test_frames_are_those_of_the_archive(s3, shar):
    by_id = {cut.id: cut for cut in load_cuts(shar / "cuts.jsonl.gz")}
    for cut in SharSource(f"s3://{BUCKET}/train", "toy").cuts(1):
        np.testing.assert_array_equal(load_frames(cut, SPEC), load_frames(by_id[cut.id], SPEC))
