"""Errors against the size of chunks: those of each decoding by itself, and the table of them."""

import torch
from synthetic_codes import TINY_RECIPE
from toy_streaming import CAUSAL

from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.results.chunk_sizes import chunk_table
from icefall_discrete.systems.asr.chunk_sweep import errors_by_chunk
from icefall_discrete.systems.asr.recognition import StreamsConfig, recognise, transcripts_of
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.text.pieces import TextEncoder


def test_each_row_is_a_decoding_of_its_own(corpus_dir, tmp_path):
    features, run, decode = corpus_dir / "features", RunConfig(device="cpu"), DecodeConfig(blank_penalty=0.5)
    cuts, spec = load_feature_cuts(features / "dev.jsonl.gz")
    settings = TrainSettings.from_dict(
        {**TINY_RECIPE, "model": {**TINY_RECIPE["model"], **CAUSAL}}, "the test's recipe"
    )
    targets = PieceTargets(TextEncoder(corpus_dir / "lang" / "bpe.model"))
    experiment = Experiment(tmp_path / "exp")
    experiment.start(settings, spec, targets, read_codebooks(features / "codebooks.safetensors"))
    torch.manual_seed(0)
    model = experiment.build_model().eval()
    with torch.no_grad():
        for parameter in model.joiner.parameters():
            parameter.mul_(5.0)
    trained = Trained(experiment.exp_dir, settings, spec, targets, model)
    found = list(errors_by_chunk(trained, cuts, decode, run, [(4, 8), (8, 16)]))
    assert [one.streams and one.streams.chunk_size for one in found] == [None, 4, 8]
    streams = StreamsConfig(chunk_size=4, left_context_frames=8, streaming=True)
    said = transcripts_of(cuts, recognise(model, cuts, spec, decode, run, streams=streams)[0], targets.text_encoder)
    assert found[1].words.num_ref == sum(len(one.ref) for one in said) and found[1].words.errors > 0
    assert found[1].characters.num_ref == sum(len("".join(one.ref)) for one in said)
    # The widest chunk that the model knows is that of whole utterances.
    assert (found[2].words, found[2].characters) == (found[0].words, found[0].characters)


def test_table():
    whole = {"chunk_size": None, "chunk_sec": None, "left_context_sec": None, "waits_sec": None}
    chunk = {"chunk_size": 8, "chunk_sec": 0.16, "left_context_sec": 2.56, "waits_sec": 0.2275}
    rows = [{**whole, "wer": 70.7, "cer": 42.83, "rtf": 0.1}, {**chunk, "wer": 80.0, "cer": None, "rtf": 0.2}]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in chunk_table(rows, "test").splitlines()]
    assert lines[0][-3:] == ["test WER", "test CER", "RTF"]
    assert lines[2:] == [
        ["whole", "", "", "", "70.70", "42.83", "0.100"],
        ["8", "0.16", "2.56", "0.23", "80.00", "", "0.200"],
    ]
