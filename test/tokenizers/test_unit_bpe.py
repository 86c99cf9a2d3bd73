"""Runs of units and pieces of them: nothing is lost, the rate is variable and says so, the model learns from it."""

import dataclasses
import itertools
import json
import math
import shutil

import pytest
import torch
from toy_settings import changed
from toy_tokenizers import Toy
from toy_views import TINY_MODEL, fitted, paths_of, write_confs

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.experiment.transcription_files import (
    keep_for_transcription,
    load_experiment_tokenizer,
    save_tokenizer,
)
from icefall_discrete.systems.asr.transducer import build_transducer
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import check_output
from icefall_discrete.tokenizers.formats.unit_pieces import (
    FIRST_CHARACTER,
    UnitPieces,
    as_characters,
    runs,
    train_pieces,
)
from icefall_discrete.tokenizers.unit_bpe import UnitBpeConfig

KINDS = ("units", "pieces", "pieces_of_frames")
MODEL = changed(TINY_MODEL, front_end_stride=1, output_downsampling_factor=1, embedding_init="auto")
TOY = Toy(lambda folder: {"base": paths_of(folder / "conf", "slow")[0], "bpe_vocab_size": 16})


@pytest.fixture(scope="module")
def folders(tmp_path_factory, fit_audio):
    """For each kind a folder with its conf dir and state."""
    made = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    for kind, folder in made.items():
        fitted(kind, folder, fit_audio)
    return made


def load(folders, kind):
    return load_tokenizer(kind, [folders[kind] / "conf"], folders[kind] / "state")


@pytest.fixture(params=KINDS)
def tokenizer(request, folders):
    return load(folders, request.param)


@pytest.fixture
def pieces(folders):
    return load(folders, "pieces")


def encode(tokenizer, samples):
    """Codes (P, 1) and the durations (U,) of their units."""
    encoded = tokenizer.encode_with_durations(samples[None], torch.tensor([len(samples)]))
    return encoded.frames[0], encoded.durations[0]


@pytest.mark.parametrize("length", [400, 4801, 16000, None])
def test_every_frame_of_the_base_comes_back(tokenizer, speech, length):
    samples = speech[:length]
    frames = tokenizer.base.encode(samples[None], torch.tensor([len(samples)]))[0][0]
    codes, durations = encode(tokenizer, samples)
    assert torch.equal(tokenizer.frames_of(codes, durations), frames)
    per_code = tokenizer.code_durations(codes, durations)
    assert len(per_code) == len(codes) and int(per_code.sum()) == int(durations.sum()) == len(frames)
    assert len(codes) <= len(durations) <= len(frames)
    if length is None:
        assert len(codes) < len(frames)


def test_units_are_the_frames_without_repetitions(folders, speech):
    tokenizer = load(folders, "units")
    frames = tokenizer.base.encode(speech[None], torch.tensor([len(speech)]))[0][0, :, 0].tolist()
    codes, durations = encode(tokenizer, speech)
    expected = [(unit, len(list(run))) for unit, run in itertools.groupby(frames)]
    assert list(zip(codes[:, 0].tolist(), durations.tolist())) == expected
    assert torch.equal(tokenizer.codebooks()[0], tokenizer.base.codebooks()[0])


def test_a_batch_has_the_durations_of_each_utterance(pieces, speech):
    lengths = [16000, 4801]
    batch = pieces.encode_with_durations(speech[None].repeat(2, 1), torch.tensor(lengths))
    for row, length in enumerate(lengths):
        codes, durations = encode(pieces, speech[:length])
        assert torch.equal(batch.frames[row, : batch.lens[row]], codes) and torch.equal(batch.durations[row], durations)


def test_spec_says_that_the_rate_is_variable_and_measured(tokenizer, fit_audio):
    spec = tokenizer.spec
    codes = [encode(tokenizer, samples)[0] for samples, _ in fit_audio]
    rate = sum(map(len, codes)) / sum(len(samples) / 16000 for samples, _ in fit_audio)
    assert spec.has_variable_rate and spec.frame_rate_hz == pytest.approx(rate, abs=1e-5)
    assert spec.max_frame_rate_hz == tokenizer.base.spec.frame_rate_hz
    assert spec.bits_per_second == pytest.approx(rate * math.log2(spec.codebook_sizes[0]), rel=1e-6)
    assert spec.provenance["base"]["provenance"] == tokenizer.base.spec.provenance
    with pytest.raises(RuntimeError, match=r"gave 0 frames for 1\.000 s"):
        check_output(torch.zeros(0, 1, dtype=torch.int64), spec, 16000, "cut a")
    most = round(spec.max_frame_rate_hz)
    check_output(torch.zeros(1, 1, dtype=torch.int64), spec, 16000, "cut a")
    with pytest.raises(RuntimeError, match=rf"gave {most + 4} frames .* promises at most {spec.max_frame_rate_hz} Hz"):
        check_output(torch.zeros(most + 4, 1, dtype=torch.int64), spec, 16000, "cut a")


def test_a_constant_rate_leaves_no_trace_in_spec_json(pieces, tmp_path):
    base = pieces.base.spec
    base.write(tmp_path / "spec.json")
    assert "max_frame_rate_hz" not in json.loads((tmp_path / "spec.json").read_text())
    assert FeatureSpec.read(tmp_path / "spec.json") == base and not base.has_variable_rate
    pieces.spec.write(tmp_path / "spec.json")
    assert FeatureSpec.read(tmp_path / "spec.json") == pieces.spec
    with pytest.raises(ValueError, match=r"the average rate is 60\.0 Hz, expected above 0 and at most the highest, 50"):
        dataclasses.replace(base, frame_rate_hz=60.0, max_frame_rate_hz=50.0)


def test_a_piece_starts_from_the_mean_of_its_units_vectors(pieces):
    (vectors,), (units,) = pieces.codebooks(), pieces.base.codebooks()
    assert vectors.shape == (16, 20)
    members = pieces.units_of(torch.arange(16).unsqueeze(1))
    assert max(map(len, members)) > 1
    for vector, member in zip(vectors, members):
        torch.testing.assert_close(vector, units[member].mean(dim=0))


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_pieces_cover_all_units_and_invert(model_type):
    generator = torch.Generator().manual_seed(0)
    lines = [[3, 7, 1] * 4 + torch.randint(0, 20, (30,), generator=generator).tolist() for _ in range(60)]
    model = train_pieces(map(as_characters, lines), 40, 60, model_type)
    assert model == train_pieces(map(as_characters, lines), 40, 60, model_type)
    pieces = UnitPieces(model)
    assert len(pieces) == 60
    assert sorted(units[0] for units in map(pieces.units_of, range(60)) if len(units) == 1) == list(range(40))
    for line in [*lines, [39, 20, 39, 3, 7, 1]]:  # 20 to 39 were never seen
        codes = pieces.encode(line)
        assert [unit for code in codes for unit in pieces.units_of(code)] == line
    assert sum(len(pieces.encode(line)) for line in lines) < sum(map(len, lines))
    assert as_characters([0, 5]) == chr(FIRST_CHARACTER) + chr(FIRST_CHARACTER + 5)


def test_runs_of_anything():
    for units in itertools.product(range(2), repeat=5):
        values, lengths = runs(torch.tensor(units))
        assert (values[1:] != values[:-1]).all()
        assert tuple(values.repeat_interleave(lengths).tolist()) == units


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"base": "slow", "bpe_vocab_size": 7}, "each of the 8 units needs a piece of its own; use at least 8"),
        ({"base": "slow", "bpe_vocab_size": 4000}, r"bpe_vocab_size is 4000, but .* at most \d+ are possible"),
        ({"base": "slow", "deduplicate": False}, "leaves the units as they are; set either, or use the base"),
        ({"base": "continuous"}, "needs codes, but 'continuous' gives continuous features"),
        ({"base": "slow+fast"}, r"names 'slow\+fast', which is made of other feature types"),
        ({"base": "mine"}, "names 'mine', which is made of other feature types itself"),
        ({}, "has no `base`"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, fit_audio, settings, message):
    conf = write_confs(tmp_path / "conf")
    (conf / "mine.json").write_text(json.dumps({"tokenizer": "unit_bpe", **settings}))
    with pytest.raises(ValueError, match=message):
        load_tokenizer("mine", [conf]).fit(fit_audio, tmp_path / "state", seed=0)


def test_the_largest_vocabulary_named_can_be_had(fit_audio):
    lines = ["".join(chr(FIRST_CHARACTER + (i * j) % 7) for i in range(30)) for j in range(20)]
    with pytest.raises(ValueError, match="at most") as caught:
        train_pieces(lines, 7, 5000)
    largest = int(str(caught.value).split("at most ")[1].split()[0])
    assert len(UnitPieces(train_pieces(lines, 7, largest))) == largest


def test_several_codebooks_are_refused(tmp_path, fit_audio):
    conf = write_confs(tmp_path / "conf")
    (conf / "wide.json").write_text(json.dumps({"tokenizer": "dmel", "num_mel_bins": 4}))
    (conf / "mine.json").write_text('{"tokenizer": "unit_bpe", "base": "wide"}')
    with pytest.raises(ValueError, match=r"its base 'wide' has \d+ codebooks"):
        load_tokenizer("mine", [conf]).fit(fit_audio, tmp_path / "state", seed=0)


def test_units_of_another_kmeans_are_refused(folders, fit_audio, tmp_path):
    conf, state = folders["pieces"] / "conf", shutil.copytree(folders["pieces"] / "state", tmp_path / "state")
    load_tokenizer("slow", [conf]).fit(fit_audio[:5], state / "slow", seed=2)
    with pytest.raises(ValueError, match=r"unit_bpe\.json was made for other base than feature type 'pieces' has now"):
        encode(load_tokenizer("pieces", [conf], state), fit_audio[0][0])
    shutil.copytree(folders["pieces"] / "state", state, dirs_exist_ok=True)
    (state / "unit_bpe.model").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"is not the file that unit_bpe\.json beside it tells of"):
        encode(load_tokenizer("pieces", [conf], state), fit_audio[0][0])


def test_the_same_fit_gives_the_same_files(folders, fit_audio, tmp_path):
    fitted("pieces", tmp_path, fit_audio)
    for name in ("unit_bpe.json", "unit_bpe.model", "slow/kmeans.safetensors"):
        assert (tmp_path / "state" / name).read_bytes() == (folders["pieces"] / "state" / name).read_bytes()


def test_durations_of_another_utterance_are_refused(pieces, speech):
    codes, durations = encode(pieces, speech)
    for inverse in (pieces.frames_of, pieces.code_durations):
        with pytest.raises(ValueError, match="they are not of one utterance"):
            inverse(codes, durations[1:])
    with pytest.raises(ValueError, match="pieces cannot be decoded as a whole"):
        pieces.decode(codes[None], torch.tensor([len(codes)]))


def test_the_tokenizer_travels_to_transcription(pieces, tmp_path, speech):
    save_tokenizer(pieces, tmp_path / "features")
    (tmp_path / "recipe.json").write_text("{}")
    keep_for_transcription(tmp_path / "exp", tmp_path / "features", tmp_path / "recipe.json")
    here = load_experiment_tokenizer(tmp_path / "exp", pieces.spec)
    assert torch.equal(encode(here, speech)[0], encode(pieces, speech)[0])
    (tmp_path / "exp" / "tokenizer" / "unit_bpe.model").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no unit_bpe\.model, the state of tokenizer 'pieces'"):
        load_experiment_tokenizer(tmp_path / "exp", pieces.spec)


def test_a_model_trains_on_pieces(pieces, speech):
    encoded = pieces.encode_with_durations(speech[None].repeat(2, 1), torch.tensor([len(speech), 12000]))
    spec = pieces.spec
    torch.manual_seed(0)
    model = build_transducer(MODEL, spec, 20, AugmentConfig(), pieces.codebooks()).train()
    output = model.encode(encoded.frames, encoded.lens)
    log_probs = model.ctc_output(output.encoder_out).log_softmax(dim=-1).transpose(0, 1)
    labels = torch.tensor([[3, 4], [5, 6]])
    loss = torch.nn.functional.ctc_loss(log_probs, labels, output.lens, torch.tensor([2, 2]))
    loss.backward()
    assert torch.isfinite(loss) and model.input_embedding.table.grad.abs().sum() > 0
    assert MODEL.encoder_frame_sec(spec) == pytest.approx(1 / spec.frame_rate_hz)
    with pytest.raises(ValueError, match=r"input_frame_rate_hz is 100\.0, but 'pieces' has a variable rate"):
        build_transducer(changed(MODEL, input_frame_rate_hz=100.0), spec, 20, AugmentConfig())


def test_settings_that_do_nothing_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="bpe_vocab_size -1"):
        UnitBpeConfig(bpe_vocab_size=-1)
    with pytest.raises(ValueError, match="bpe_model_type is 'words'; known: unigram, bpe"):
        UnitBpeConfig(bpe_model_type="words")
