"""Leads every animal of a zoo of hostile files through every door that reads a file; prints what came of it as JSON.

Run in a process of its own, of which the memory can be told: hostile_zoo.py <empty folder>.
"""

import gzip
import io
import json
import logging
import os
import pickle
import resource
import struct
import sys
import tarfile
import time
import zlib
from os import system
from pathlib import Path

import ctranslate2_writer
import hostile_files
import numpy as np
import torch
from safetensors.torch import save

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.data.checksums import read_figures
from icefall_discrete.data.code_archive import FlatArchiveReader
from icefall_discrete.data.corpus_files import find_corpus, read_headers
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.own_corpora.formats.contract import Reading
from icefall_discrete.data.own_corpora.formats.kaldi import Kaldi
from icefall_discrete.data.own_corpora.formats.lhotse_manifests import LhotseManifests
from icefall_discrete.data.own_corpora.formats.table import Table
from icefall_discrete.data.shar import SharSource
from icefall_discrete.data.targets.classes import ClassTargets
from icefall_discrete.decoding.hotwords import read_context_file
from icefall_discrete.decoding.k2_graph_files import load_graph
from icefall_discrete.decoding.k2_lexicon import read_lexicon, read_token_table
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_weights
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.experiment.icefall_checkpoints import read_weights as read_icefall
from icefall_discrete.experiment.model_list import read_contents
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.experiment.replay import replay
from icefall_discrete.inference.audio_files import open_audio
from icefall_discrete.lm.folder import load_language_model
from icefall_discrete.results.ledger import read_result
from icefall_discrete.results.published import read_published
from icefall_discrete.results.token_files import read_literature
from icefall_discrete.systems.asr.recogs import read_recogs
from icefall_discrete.systems.masked_prediction.units import read_units
from icefall_discrete.text.alignments import read_alignments
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.formats.ctranslate2_files import read_ctranslate2
from icefall_discrete.tokenizers.formats.fairseq_checkpoints import read_ssl_checkpoint
from icefall_discrete.tokenizers.formats.kmeans_files import read_centroids
from icefall_discrete.tokenizers.formats.pretrained import read_weights, safetensors_files
from icefall_discrete.tokenizers.frames.cpc import read_cpc
from icefall_discrete.tokenizers.frames.ssl import read_folder
from icefall_discrete.training.averages import average_epochs, read_summary, restore_epochs

SPEC = {
    "name": "toy",
    "kind": "codes",
    "sample_rate_hz": 16000,
    "frame_rate_hz": 50.0,
    "num_codebooks": 1,
    "codebook_sizes": [8],
    "feature_dim": 0,
}
SHAR = {"num_cuts": 1, "shard_size": 1, "duration_sec": 1.0, "digest": "0"}
LM = {"lm_unit": "pieces", "lm_type": "lstm", "pieces_sha256": "0", "vocab_size": 8, "model": {"lm_dim": 4}}
ZEROS = 2**28 + 1


def _npy(header, data=bytes(64)):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _saved(writer, *args, **named):
    stream = io.BytesIO()
    writer(stream, *args, **named)
    return stream.getvalue()


def _tar(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return stream.getvalue()


def _safetensors(header, data=bytes(16)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def animals(folder, marker):
    """Bytes of hostile files, by name; those that run a command would touch `marker`."""
    made = {}
    makers = {**hostile_files.commands(marker), "deflated": hostile_files.bombs()["deflated"]}
    for name, maker in makers.items():
        maker(folder / "made")
        made[f"{name} of torch"] = (folder / "made").read_bytes()
    call = hostile_files.Call(system, f"touch '{marker}'")
    evil = np.array([call], dtype=object)
    huge = {"dtype": "F32", "shape": [10**12, 4], "data_offsets": [0, 16]}
    return {
        **made,
        "joblib": zlib.compress(pickle.dumps(call)),
        "a gz of a pickle": gzip.compress(pickle.dumps(call)),
        "npy of objects": _saved(np.save, evil, allow_pickle=True),
        "npz of objects": _saved(np.savez, centroids=evil, allow_pickle=True),
        "npy of 10^12 values": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"),
        "npy that evaluates": _npy(f"__import__('os').system('touch {marker}')"),
        "npy of nothing": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", b""),
        "safetensors with a huge header": struct.pack("<Q", 2**62) + b"{}",
        "safetensors with a huge shape": _safetensors({"0": huge}),
        "safetensors that overflow": _safetensors({"0": {**huge, "shape": [2**62, 2**62]}}),
        "safetensors cut short": save({"0": torch.zeros(4, 4), "centroids": torch.zeros(4, 4)})[:-8],
        "safetensors deep": _safetensors(b'{"__metadata__":' + b"[" * 100_000),
        "CTranslate2 with huge counts": ctranslate2_writer.hostile()["2^96 values"],
        "gz of zeros": gzip.compress(bytes(ZEROS), 1),
        "gz cut short": gzip.compress(b'{"type": "MonoCut"}\n' * 9)[:-9],
        "tar with a link": _tar(("release", tarfile.SYMTYPE, "/"), ("release/tmp/marker", tarfile.REGTYPE, "")),
        "tar that leaves": _tar(("../marker", tarfile.REGTYPE, "")),
        "tar that is absolute": _tar((str(marker), tarfile.REGTYPE, "")),
        "deep JSON": b"[" * 100_000,
        "JSON of null": b"null",
        "JSON of a list": b"[]",
        "JSON of a number": b"1" + b"0" * 4000,
        "JSON not finite": b'{"name": NaN, "epochs": Infinity}',
        "a page": b"<html><body>404</body></html>\n" * 9,
        "UTF-16": "some words\n".encode("utf-16"),
        "zeros": bytes(4096),
        "nothing": b"",
        "40 bytes": bytes(range(40)),
    }


def _beside(path, **files):
    for name, content in files.items():
        target = path.parent / name.replace("__", "/").replace("_json", ".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))


def _shar(path):
    _beside(path, cuts__shar_json=SHAR, toy__spec_json=SPEC)
    (path.parent / "toy" / "frames.000000.tar").write_bytes(path.read_bytes())
    (path.parent / "cuts" / "cuts.000000.jsonl.gz").write_bytes(path.read_bytes())
    return list(SharSource(path.parent, "toy").cuts())


def _language_model(path):
    _beside(path, lm_json=LM)
    return load_language_model(path.parent)


def _ssl(path):
    _beside(path, config_json={"model_type": "hubert"})
    return read_folder(path.parent)


def _whisper_config(path):
    (path.parent / "model.safetensors").write_bytes(b"")
    return safetensors_files(path.parent, "whisper")


def _archive(path):
    return FlatArchiveReader(path).read(f"0,{10**11},1,int16")


def _handed_on(path):
    return load_weights(CheckpointChoice(checkpoint=path.name), path.parent)


def _lost_epochs(path):
    _beside(path, train_json={"epochs": [{"epoch": 1}], "num_epochs": 1})
    return restore_epochs(path.parent)


def _unreadable(path):
    if not read_headers({"a": path}, 1).unusable:
        raise AssertionError("it was taken for audio")
    raise ValueError(f"{path}: named in the log")


def _context(path):
    return read_context_file(path, lambda text: [5] if text.isascii() else [], 1.0, 2)


def _reading(path):
    return Reading("en", {}, 1, path.parent / "audio")


def _recordings(path):
    said = {"id": "a", "recording_id": "a", "start": 0.0, "duration": 1.0, "channel": 0, "text": "a"}
    path.with_name("supervisions.jsonl").write_text(json.dumps(said))
    LhotseManifests().read(path.parent, _reading(path))


# A file's name, and what reads it.
DOORS = {
    "a checkpoint": ("epoch-1.pt", load_checkpoint),
    "an average": ("epoch-1.pt", lambda path: average_epochs(path.parent, 1, 1, False)),
    "weights handed on": ("averaged.pt", _handed_on),
    "lost epochs": ("checkpoint-3.pt", _lost_epochs),
    "resuming": ("checkpoint-3.pt", load_checkpoint),
    "a replay": ("batch.pt", lambda path: replay(path.parent, path, "torch", torch.device("cpu"))),
    "weights of icefall": ("pretrained.pt", read_icefall),
    "a graph": ("HLG.pt", load_graph),
    "a published model": ("model.pt", read_weights),
    "published safetensors": ("model.safetensors", read_weights),
    "a model of fairseq": ("hubert.pt", read_ssl_checkpoint),
    "a model of CPC": ("cpc.pt", read_cpc),
    "a model of transformers": ("model.safetensors", _ssl),
    "a pickled model of transformers": ("pytorch_model.bin", _ssl),
    "its configuration": ("config.json", _whisper_config),
    "a model of CTranslate2": ("model.bin", read_ctranslate2),
    "k-means": ("km.bin", read_centroids),
    "k-means of numpy": ("km.npy", read_centroids),
    "own tensors": ("kmeans.safetensors", lambda path: read_tensors(path, "fit again")),
    "codebooks": ("codebooks.safetensors", read_codebooks),
    "units": ("units-1.npy", read_units),
    "an archive of codes": ("train.codes", _archive),
    "a language model": ("model.safetensors", _language_model),
    "its facts": ("lm.json", lambda path: load_language_model(path.parent)),
    "an ARPA file": ("lm.arpa", load_language_model),
    "pieces": ("bpe.model", TextEncoder),
    "a lexicon": ("lexicon.txt", lambda path: read_lexicon(path.parent, ["<blk>"])),
    "tokens": ("tokens.txt", read_token_table),
    "phrases": ("phrases.txt", _context),
    "phrases of cuts": ("phrases.json", _context),
    "any JSON": ("any.json", read_json),
    "a spec": ("spec.json", FeatureSpec.read),
    "a record": ("fit.json", Provenance.read),
    "figures": ("extract-train.json", lambda path: read_figures(path, "bytes")),
    "a summary": ("train.json", read_summary),
    "an experiment": ("config.json", lambda path: Experiment(path.parent).settings()),
    "classes": ("classes.json", lambda path: ClassTargets.load(path.parent)),
    "a result": ("result.json", read_result),
    "published figures": ("published.json", read_published),
    "figures of tokens": ("tokens.json", read_literature),
    "a TextGrid": ("a.TextGrid", read_alignments),
    "times of labels": ("a.ctm", read_alignments),
    "labels of frames": ("a.tsv", read_alignments),
    "a recipe": ("recipe.json", read_recipe),
    "a feature type": ("toy.json", lambda path: load_tokenizer(str(path))),
    "a manifest": ("cuts.jsonl", load_cuts),
    "a packed manifest": ("cuts.jsonl.gz", load_cuts),
    "shards": ("shard", _shar),
    "a corpus": ("corpus.tar.gz", lambda path: find_corpus(path.parent / "release", path, "fetch it")),
    "headers of audio": ("a.wav", _unreadable),
    "audio": ("a.wav", lambda path: open_audio(str(path))),
    "transcripts": ("recogs-test.txt", read_recogs),
    "a model folder": ("model.json", lambda path: read_contents(path.parent)),
    "its weights": (
        "model.safetensors",
        lambda path: load_weights(CheckpointChoice(checkpoint="model.safetensors"), path.parent),
    ),
    "a table of an own corpus": ("list.csv", lambda path: Table().read(path, _reading(path))),
    "its JSON lines": ("list.jsonl", lambda path: Table().read(path, _reading(path))),
    "a list of Kaldi": ("wav.scp", lambda path: Kaldi().read(path.parent, _reading(path))),
    "recordings of lhotse": ("recordings.jsonl", _recordings),
}


def lead(door, path, data):
    """What came of one animal at one door: kind of the error and its message, or "taken"; seconds, and KiB more."""
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    try:
        door(path)
        found = ["taken", ""]
    except Exception as error:
        found = [", ".join(cls.__name__ for cls in type(error).__mro__), str(error)]
    return [*found, time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]


def main(folder):
    logging.disable(logging.CRITICAL)
    os.chdir(folder)
    marker = folder / "marker"
    zoo = animals(folder, marker)
    found = {}
    for number, (place, (name, door)) in enumerate(DOORS.items()):
        for other, (animal, data) in enumerate(zoo.items()):
            path = folder / f"{number}-{other}" / name
            found[f"{animal} at {place}"] = [str(path), *lead(door, path, data), marker.exists()]
            marker.unlink(missing_ok=True)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
