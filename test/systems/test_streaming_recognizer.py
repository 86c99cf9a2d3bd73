"""Searching in pieces and many streams at once finds what the whole utterance gives."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch
from synthetic_codes import TINY_RECIPE
from torch import nn
from toy_attention import BigramScorer
from toy_settings import model_config

from icefall_discrete.base.checkpoint import save_checkpoint
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.ctc_greedy import ctc_greedy_search
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.decoding.hotwords import Phrase, hotword_scorer
from icefall_discrete.decoding.lm_scorers import NeuralScorer
from icefall_discrete.decoding.modified_beam import BeamConfig, modified_beam_search
from icefall_discrete.decoding.scorer import SumScorer
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.decoding.streaming_search import StreamingCtcGreedy, StreamingGreedy, StreamingModifiedBeam
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.lm.neural import NeuralLmConfig, TransformerLm
from icefall_discrete.nn.heads.joiner import Joiner
from icefall_discrete.nn.heads.predictor import StatelessPredictor
from icefall_discrete.systems.asr.recognition import StreamsConfig, recognise
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.streaming_model import StreamingConfig
from icefall_discrete.systems.asr.streaming_recognizer import StreamingRecognizer
from icefall_discrete.systems.asr.transducer import Heads, build_transducer
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.pieces import TextEncoder

ROOT = Path(__file__).resolve().parents[2]

CODES = FeatureSpec("toy", "codes", 16000, 50.0, 1, (12,), 0)
BEAM = BeamConfig(beam_size=4, blank_penalty=0.3, temperature=1.2)
BOTH = DecodeConfig(blank_penalty=0.5), DecodeConfig(decoding_method="modified_beam_search", blank_penalty=0.5)

CONFIG = model_config(
    downsampling_factor=(1, 2),
    encoder_dim=(16, 24),
    num_encoder_layers=(1,),
    encoder_unmasked_dim=(16,),
    num_heads=(2,),
    query_head_dim=(6,),
    value_head_dim=(5,),
    feedforward_dim=(32,),
    cnn_module_kernel=(5,),
    causal=True,
    chunk_size=(8,),
    left_context_frames=(16,),
    front_end="conv1d",
    embedding_dim=14,
    decoder_dim=12,
    joiner_dim=10,
)


def sharpened(model):
    with torch.no_grad():
        for parameter in model.joiner.parameters():
            parameter.mul_(5.0)
    return model.eval()


def toy_model():
    torch.manual_seed(0)
    model = nn.Module()
    model.blank_id = 0
    model.predictor = StatelessPredictor(11, 8, 0, 2)
    model.joiner = Joiner(12, 8, 10, 11)
    model.ctc_output = nn.Linear(12, 11)
    return sharpened(model)


def language_models():
    """A transformer and a model of low order that is taken off, for a search of their own."""
    torch.manual_seed(4)
    neural = TransformerLm(NeuralLmConfig(lm_dim=8, lm_layers=1, lm_heads=2), 11)
    return SumScorer([NeuralScorer(neural), BigramScorer(1)], [0.8, -0.2])


def found_at_once(method, model, out):
    lens = torch.tensor([out.shape[1]])
    if method == "beam with language models":
        return modified_beam_search(model, out, lens, BEAM, language_models())[0][0]
    if method == "greedy":
        return greedy_search(model, out, lens, blank_penalty=0.3)[0]
    if method == "ctc":
        return ctc_greedy_search(model, out, lens, blank_penalty=0.3)[0]
    return modified_beam_search(model, out, lens, BEAM)[0][0]


def assert_found_as_at_once(method, model, search, streams):
    for stream, out, done in streams:
        mine, whole = search.best(stream), found_at_once(method, model, out[:, :done])
        assert (mine.labels, mine.timestamps) == (whole.labels, whole.timestamps)
        assert mine.score == pytest.approx(whole.score, abs=1e-4)


SEARCHES = {
    "greedy": lambda model: StreamingGreedy(model, 0.3),
    "ctc": lambda model: StreamingCtcGreedy(model, 0.3),
    "beam": lambda model: StreamingModifiedBeam(model, BEAM),
    "beam with language models": lambda model: StreamingModifiedBeam(model, BEAM, lambda name: language_models()),
}


@pytest.mark.parametrize("method", SEARCHES)
def test_pieces_of_streams_in_step_and_out_of_step_find_what_the_whole_does(method):
    model = toy_model()
    search = SEARCHES[method](model)
    torch.manual_seed(1)
    # Each frame twice, so that units are repeated, across the ends of pieces too.
    outs = [torch.randn(1, length, 12).repeat_interleave(2, dim=1)[:, :length] for length in (25, 7, 16)]
    streams, done = [search.open() for _ in outs], [0, 0, 0]
    for turn, sizes in enumerate([(4, 1, 3), (2, 4, 4), (5, 2, 1)] * 10):
        rows = [n for n in range(3) if done[n] < outs[n].shape[1] and turn >= n]
        if not rows:
            break
        lens = [min(sizes[n], outs[n].shape[1] - done[n]) for n in rows]
        piece = torch.zeros(len(rows), max(lens), 12)
        for place, (n, length) in enumerate(zip(rows, lens)):
            piece[place, :length] = outs[n][0, done[n] : done[n] + length]
            done[n] += length
        search.advance(piece, lens, [streams[n] for n in rows])
        if turn == 3:
            assert_found_as_at_once(method, model, search, zip(streams, outs, done))
    assert_found_as_at_once(method, model, search, zip(streams, outs, done))
    assert done == [25, 7, 16] and len(search.best(streams[0]).labels) > 5


@pytest.mark.parametrize("decode", BOTH, ids=lambda decode: decode.decoding_method)
def test_recognition_of_streams_equals_that_of_whole_utterances(decode):
    torch.manual_seed(0)
    model = sharpened(build_transducer(CONFIG, CODES, 15, AugmentConfig()))
    recognizer = StreamingRecognizer(model, CODES, StreamingConfig(8, 16), decode)
    utterances = [torch.randint(0, 12, (length, 1)) for length in (150, 30, 81)]
    streams = [recognizer.open() for _ in utterances]
    before = recognizer.hypothesis(streams[0])
    assert before.labels == [] and recognizer.step(streams) == 0
    for start in range(0, 150, 10):
        for stream, codes in zip(streams, utterances):
            if start < len(codes):
                stream.push(codes[start : start + 10])
            elif not stream.is_done:
                stream.finish()
        recognizer.step(streams)
    streams[0].finish()
    while recognizer.step(streams):
        pass
    assert all(stream.is_done for stream in streams)
    for stream, codes in zip(streams, utterances):
        with torch.no_grad():
            whole = model.encode(codes.unsqueeze(0), torch.tensor([len(codes)]))
        if decode.decoding_method == "greedy_search":
            expected = greedy_search(model, whole.encoder_out, whole.lens, blank_penalty=0.5)[0]
        else:
            expected = modified_beam_search(model, whole.encoder_out, whole.lens, BeamConfig(4, 0.5))[0][0]
        mine = recognizer.hypothesis(stream)
        assert (mine.labels, mine.timestamps) == (expected.labels, expected.timestamps)
        assert mine.score == pytest.approx(expected.score, rel=1e-4)
        assert mine.labels


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"decoding_method": "joint_beam_search"}, "known for streams: greedy_search, .*, ctc_greedy_search"),
        ({"decoding_method": "modified_beam_search", "nbest": 2}, "nbest is 2; a stream has one hypothesis"),
        ({"max_sym_per_frame": 2}, "at most 1 label a frame"),
        ({"lm": "some"}, "nothing that gives their scores was passed"),
    ],
)
def test_what_streams_cannot_do_is_refused(changes, message):
    model = build_transducer(CONFIG, CODES, 15, AugmentConfig())
    with pytest.raises(ValueError, match=message):
        StreamingRecognizer(model, CODES, StreamingConfig(), dataclasses.replace(DecodeConfig(), **changes))


def test_streams_of_a_model_without_the_head_are_told_what_it_can_do():
    model = build_transducer(CONFIG, CODES, 15, AugmentConfig(), heads=Heads(transducer=False))
    with pytest.raises(ValueError, match=r"^greedy_search needs .* Use ctc_prefix_beam_search, which it can do, or"):
        StreamingRecognizer(model, CODES, StreamingConfig(8, 16), DecodeConfig())


def test_cuts_are_recognised_as_streams_a_few_at_a_time(corpus_dir):
    cuts, spec = load_feature_cuts(corpus_dir / "features" / "dev.jsonl.gz")
    torch.manual_seed(0)
    model = sharpened(build_transducer(CONFIG, spec, 15, AugmentConfig()))
    run, decode = RunConfig(device="cpu"), DecodeConfig(blank_penalty=0.5)
    whole, _ = recognise(model, cuts, spec, decode, run)
    streams = StreamsConfig(chunk_size=8, left_context_frames=16, streaming=True, num_decode_streams=2)
    found, facts = recognise(model, cuts, spec, decode, run, streams=streams)
    assert {cut: one[0].labels for cut, one in found.items()} == {cut: one[0].labels for cut, one in whole.items()}
    assert facts["num_utterances"] == len(found) == 6 and any(one[0].labels for one in found.values())
    assert streams.suffix == "streaming_chunk-size-8_left-context-frames-16" and StreamsConfig().suffix == ""
    with pytest.raises(ValueError, match="greedy_search of streams takes no language model and no phrases; use mod"):
        recognise(model, cuts, spec, decode, run, scorer_of=lambda batch: None, streams=streams)
    beam = dataclasses.replace(decode, decoding_method="modified_beam_search")

    def phrases(batch):
        """For the second half of the cuts alone, so that their order shows."""
        some = [[Phrase((4, 7), 3.0)] if cut_id > cuts[2].id else [] for cut_id in batch["cut_ids"]]
        return hotword_scorer(some, 15, torch.device("cpu"), list(range(len(some))))

    whole, _ = recognise(model, cuts, spec, beam, run, scorer_of=phrases)
    found, _ = recognise(model, cuts, spec, beam, run, scorer_of=phrases, streams=streams)
    assert {cut: one[0].labels for cut, one in found.items()} == {cut: one[0].labels for cut, one in whole.items()}
    plain, _ = recognise(model, cuts, spec, beam, run, streams=streams)
    changed = [cut.id for cut in cuts if found[cut.id][0].labels != plain[cut.id][0].labels]
    assert changed and min(changed) > cuts[2].id


def test_the_example_of_the_readme_runs_as_written(corpus_dir, tmp_path, monkeypatch, capsys):
    readme = (ROOT / "icefall_discrete" / "nn" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    exp_dir, features = tmp_path / "exp" / "mfcc_km500_causal", tmp_path / "data" / "features" / "mfcc_km500"
    features.parent.mkdir(parents=True)
    shutil.copytree(corpus_dir / "features", features)
    shutil.copy(features / "dev.jsonl.gz", features / "test.jsonl.gz")
    cuts, spec = load_feature_cuts(features / "dev.jsonl.gz")
    model = {**TINY_RECIPE["model"], "causal": True, "chunk_size": [16], "left_context_frames": [128]}
    settings = TrainSettings.from_dict({**TINY_RECIPE, "model": model}, "the test's recipe")
    experiment = Experiment(exp_dir)
    codebooks = read_codebooks(features / "codebooks.safetensors")
    experiment.start(settings, spec, PieceTargets(TextEncoder(corpus_dir / "lang" / "bpe.model")), codebooks)
    write_json(exp_dir / "recipe.json", {"average": {"avg": 1, "use_averaged_model": False}})
    torch.manual_seed(1)
    state = sharpened(experiment.build_model()).state_dict()
    save_checkpoint(exp_dir / "epoch-1.pt", {"model": state, "model_avg": state, "step": 1})
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    streams = StreamsConfig(chunk_size=16, left_context_frames=128, streaming=True)
    network = experiment.build_model()
    network.load_state_dict(state)
    found, _ = recognise(network.eval(), cuts, spec, DecodeConfig(), RunConfig(device="cpu"), streams=streams)
    text = experiment.text_encoder().decode(found[cuts[0].id][0].labels)
    assert said[-1] == text and len(said) == -(-cuts[0].codes.num_frames // 25) + 1
