"""Perceptual models: flows and masks with known answers, toy codes learnt by heart, exact resume, what is written."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from frozen_encoder import learns
from lhotse import MonoCut, Recording, SupervisionSegment
from safetensors.torch import save_file
from synthetic_codes import goes_on_exactly
from toy_corpus import run_stage_script

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.code_archive import FlatArchiveWriter
from icefall_discrete.data.cuts import attach, load_feature_cuts, load_frames, write_cuts
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.inference import code_filler, fill_command
from icefall_discrete.systems.perceptual.build import build_filler
from icefall_discrete.systems.perceptual.latents import Latents
from icefall_discrete.systems.perceptual.network import (
    FILLINGS,
    FillConfig,
    ModelConfig,
    behind_prompts,
    generators,
    text_ids,
)
from icefall_discrete.systems.perceptual.prediction import PerceptualPrediction
from icefall_discrete.systems.perceptual.settings import TaskConfig, TrainSettings
from icefall_discrete.systems.perceptual.solver import solved
from icefall_discrete.systems.perceptual.soundstorm import num_masked
from icefall_discrete.systems.perceptual.system import CodecBatch, PerceptualSystem
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.systems.unit_lm.generation import SamplingConfig

SIZES = (6, 5, 4)
SPEC = FeatureSpec("toy_codec", "codes", 16000, 50.0, 3, SIZES, 0)
ENCODER = {"kind": "transformer", "dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 32, "dropout": [0.0]}
MODEL = {
    "encoder": ENCODER,
    "front_end": "identity",
    "embedding_dim": 16,
    "codebook_combination": "sum",
    "embedding_init": "codebook",
    "head_dropout": 0.0,
}


def codebooks():
    """Vectors that residual quantisation finds again: each codebook has dimensions of its own."""
    return list(torch.eye(sum(SIZES)).split(SIZES))


def codes_of(number):
    """Codes (T, 3) that the first codebook tells."""
    first = torch.randint(SIZES[0], (9 + number,), generator=torch.Generator().manual_seed(number))
    return torch.stack([first, (first + 1) % SIZES[1], (2 * first) % SIZES[2]], dim=1)


def batch_of(numbers):
    rows = [codes_of(number) for number in numbers]
    lens = torch.tensor([len(row) for row in rows])
    codes = torch.tensor(SIZES).repeat(len(rows), int(lens.max()), 1)
    for target, row in zip(codes, rows):
        target[: len(row)] = row
    return CodecBatch(codes, lens, [f"cut-{number}" for number in numbers])


def network_of(filling, **more):
    torch.manual_seed(0)
    return build_filler(from_dict(ModelConfig, {**MODEL, "filling": filling, **more}, "test"), SPEC, codebooks())


def test_a_flow_between_normal_distributions_ends_where_it_is_known_to():
    """Of N(0, 1) to N(m, s^2) the straight paths' field is known, and moves x to m + s x."""
    mean, deviation = 2.0, 0.3

    def field(x, t):
        spread = (1 - t) ** 2 + (t * deviation) ** 2
        return mean + (t * deviation**2 - (1 - t)) / spread * (x - t * mean)

    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    end = mean + deviation * x
    wrong = {(solver, steps): float((solved(field, x, steps, solver) - end).abs().max())
             for solver in ("midpoint", "euler") for steps in (8, 16, 32)}  # fmt: skip
    for steps in (8, 16):
        assert wrong["midpoint", steps] < 0.5 * wrong["euler", 2 * steps], "as many calls"
    assert wrong["midpoint", 16] / wrong["midpoint", 32] > 3.0, "second order"
    assert 1.6 < wrong["euler", 16] / wrong["euler", 32] < 2.6, "first order"


def test_latents_are_sums_of_which_the_codes_are_found_again():
    latents = Latents(codebooks())
    codes = torch.stack([torch.randint(size, (4000,)) for size in SIZES], dim=1)
    found = latents.of(codes)
    assert torch.equal(latents.codes_of(found, codes[:, 0]), codes)
    assert float(found.mean(dim=0).abs().max()) < 0.1 and float(found.square().mean()) == pytest.approx(1.0, rel=0.05)
    with pytest.raises(ValueError, match="vectors of 8, 4 dimensions, so that latents are no sums of them; take"):
        Latents([torch.zeros(3, 8), torch.zeros(3, 4)])


def test_the_straight_path_costs_nothing_and_leads_to_the_codes(monkeypatch):
    network, batch = network_of("flow_matching").eval(), batch_of([0, 1])
    prompts, end = torch.tensor([3, 0]), network.latents.of(batch.codes)
    known = ~behind_prompts(batch.codes, batch.lens, prompts).unsqueeze(2)

    def straight(x, times, prompt, first, lens):
        assert torch.equal(x[known.squeeze(2)], end[known.squeeze(2)]), "the prompt has no noise"
        assert torch.equal(prompt, end * known) and torch.equal(first, batch.codes[..., 0])
        return (end - x) / (1.0 - times[:, None, None])

    monkeypatch.setattr(network, "field", straight)
    cost = network.cost(*batch[:2], prompts, generators([1, 2]))
    assert float(cost.sums.max()) < 1e-6 and cost.counts.tolist() == [9 - 3, 10]
    for solver in ("euler", "midpoint"):
        config = FillConfig(num_steps=3, solver=solver)
        assert torch.equal(network.filled(*batch[:2], prompts, config, generators([1, 2])), batch.codes)


def test_the_schedule_masks_as_a_cosine():
    for total, passes in ((100, 16), (7, 4), (1, 1)):
        left = [num_masked(total, number, passes) for number in range(1, passes + 1)]
        assert left[:-1] == [int(total * math.cos(math.pi / 2 * k / passes)) for k in range(1, passes)]
        assert left[-1] == 0 and left == sorted(left, reverse=True)


def test_a_codebook_is_found_in_passes_and_the_others_at_once(monkeypatch):
    network, batch = network_of("soundstorm").eval(), batch_of([11])
    seen, known = [], network._known
    monkeypatch.setattr(network, "_known", lambda shown, *more: seen.append(shown.clone()) or known(shown, *more))
    prompts, config = torch.tensor([4]), FillConfig(iterations=(5, 1))
    found = network.filled(*batch[:2], prompts, config, generators([0]))
    assert torch.equal(found[:, :4], batch.codes[:, :4]) and torch.equal(found[..., 0], batch.codes[..., 0])
    assert bool((found < torch.tensor(SIZES)).all())
    masked = [(one == torch.tensor(SIZES)).sum(dim=(0, 1)).tolist() for one in seen]
    assert masked == [[0, num_masked(16, number, 5) if number else 16, 16] for number in range(5)] + [[0, 0, 16]]


def test_valles_second_network_finds_a_codebook_at_once(monkeypatch):
    network, batch = network_of("nar").eval(), batch_of([11, 5])
    seen, known = [], network._known
    monkeypatch.setattr(network, "_known", lambda shown, *more: seen.append(shown.clone()) or known(shown, *more))
    prompts = torch.tensor([4, 3])
    cost = network.cost(*batch[:2], prompts, generators([1, 2]))
    assert cost.counts.tolist() == [16, 11], "all frames behind the prompt"
    found = [network.filled(*batch[:2], prompts, FillConfig(), generators(seeds)) for seeds in ([1, 2], [3, 4])]
    assert len(seen) == 5 and torch.equal(*found), "one pass a codebook, nothing is drawn"


def test_training_masks_a_codebook_by_the_cosine_and_all_behind_it(monkeypatch):
    network, batch = network_of("soundstorm"), batch_of([31] * 64)
    prompts, shown = torch.full((64,), 10), []
    known = network._known
    monkeypatch.setattr(network, "_known", lambda one, *more: shown.append(one) or known(one, *more))
    shares, levels = [], []
    for step in range(12):
        cost = network.cost(*batch[:2], prompts, generators(range(64 * step, 64 * step + 64)))
        hidden = shown[-1] == torch.tensor(SIZES)
        assert not hidden[:, :10].any() and not hidden[..., 0].any()
        whole = hidden[:, 10:].all(dim=1)
        levels += torch.where(cost.counts == hidden[..., 1].sum(dim=1), 1, 2).tolist()
        assert bool((whole[:, 2] | ~hidden[..., 1].any(dim=1)).all()), "behind a masked codebook nothing is known"
        shares += (cost.counts / 30.0).tolist()
    assert float(np.mean(shares)) == pytest.approx(2 / math.pi, abs=0.04), "the mean of cosines"
    assert 0.4 < float(np.mean(np.array(levels) == 1)) < 0.65


@pytest.mark.parametrize("filling, more", [*((one, {}) for one in FILLINGS), ("nar", {"reads_text": True})])
def test_codes_are_learnt_by_heart_and_a_batch_is_its_utterances(filling, more):
    system = PerceptualSystem(network_of(filling, **more), TaskConfig(), SPEC)
    batch = batch_of([0, 3, 5])
    if more:
        batch = batch._replace(texts=[text_ids(text, "") for text in ("ja", "eh bien", "no")])
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    torch.manual_seed(0)
    system.train()
    for step in range(300):
        optimizer.zero_grad()
        system.losses(batch, step).mean.backward()
        optimizer.step()
    system.eval()
    network, prompts, config = system.network, torch.tensor([2, 0, 4]), FillConfig(code_temperature=0.0)
    found = network.filled(*batch[:2], prompts, config, generators([7, 8, 9]), batch.texts)
    inside = torch.arange(found.shape[1]) < batch.lens.unsqueeze(1)
    assert float((found == batch.codes)[inside].float().mean()) > 0.95
    whole, total = float(system.losses(batch, 0).total.detach()), 0.0
    for row, length in enumerate(batch.lens.tolist()):
        one = (batch.codes[row : row + 1, :length], batch.lens[row : row + 1])
        texts = batch.texts[row : row + 1]
        alone = network.filled(*one, prompts[row : row + 1], config, generators([7 + row]), texts)
        assert torch.equal(alone[0], found[row, :length])
        total += float(system.losses(CodecBatch(*one, batch.names[row : row + 1], texts), 0).total.detach())
    assert whole == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("filling, more", [*((one, {}) for one in FILLINGS), ("nar", {"reads_text": True})])
def test_an_encoder_that_is_frozen_learns_nothing(filling, more):
    batch = batch_of([0, 3])._replace(texts=[text_ids(text, "") for text in ("ja", "no")])
    assert learns(PerceptualSystem(network_of(filling, **more), TaskConfig(), SPEC), batch) == [False, True]


def test_what_only_the_text_tells_is_told_by_it(tmp_path):
    """Two utterances of the same first codes, whose others the text alone tells apart."""
    system = PerceptualSystem(network_of("nar", reads_text=True), TaskConfig(longest_prompt_sec=0.0), SPEC)
    first, lens, texts = torch.tensor([0, 1, 2, 3]), torch.tensor([4, 4]), [text_ids(one, "") for one in ("a", "b c")]
    codes = torch.stack([torch.stack([first, first % 2 + shift, first % 3], dim=1) for shift in (0, 2)])
    batch, optimizer = CodecBatch(codes, lens, ["x", "y"], texts), torch.optim.Adam(system.parameters(), 0.01)
    for step in range(150):
        optimizer.zero_grad()
        system.losses(batch, step).mean.backward()
        optimizer.step()
    network, none = system.eval().network, torch.tensor([0, 0])
    assert torch.equal(network.filled(codes, lens, none, FillConfig(), generators([1, 2]), texts), codes)
    swapped = network.filled(codes, lens, none, FillConfig(), generators([1, 2]), texts[::-1])
    assert torch.equal(swapped[0], codes[1])
    with pytest.raises(ValueError, match=r"x has no text, which the model reads \(reads_text\); give it one"):
        text_ids(" ", "x")
    with pytest.raises(ValueError, match="reads_text is for soundstorm and nar"):
        network_of("flow_matching", reads_text=True)
    asked = SimpleNamespace(exp_dir="P", first=[], prompt=None, prompt_text="so")
    for reads, given, reason in (
        (True, {"first": ["one.npy"], "prompt_text": ""}, "P reads what is said, and of one.npy it is not known"),
        (True, {"prompt": "p.npy", "prompt_text": ""}, "and of p.npy it is not known"),
        (True, {}, "--prompt-text is of no use to P: there is no --prompt"),
        (False, {"prompt": "p.npy"}, "of no use to P: it reads no texts"),
    ):
        with pytest.raises(ValueError, match=reason):
            fill_command._require_texts(SimpleNamespace(**{**vars(asked), **given}), reads)


def write_codec_corpus(folder):
    features = folder / "features"
    features.mkdir(parents=True)
    for split, numbers in (("train", range(8)), ("dev", range(8, 11))):
        cuts = []
        with FlatArchiveWriter(features / f"{split}.codes") as writer:
            for number in numbers:
                codes, name = codes_of(number).numpy().astype(np.int16), f"{split}-{number}"
                array = writer.store_array(name, codes, frame_shift=0.02, temporal_dim=0, start=0.0)
                array.array.storage_path = f"{split}.codes"
                duration = len(codes) / 50.0
                recording = Recording(name, [], 16000, round(duration * 16000), duration)
                said = [SupervisionSegment(name, name, 0.0, duration)]
                cuts.append(
                    attach(MonoCut(name, 0.0, duration, 0, supervisions=said, recording=recording), array, SPEC)
                )
        write_cuts(features / f"{split}.jsonl.gz", cuts)
    SPEC.write(features / "spec.json")
    save_file({str(number): book for number, book in enumerate(codebooks())}, str(features / "codebooks.safetensors"))
    train = {"num_epochs": 2, "average_period": 1, "tensorboard": False, "device": "cpu", "decode_interval": 1}
    train["optimizer"] = {"kind": "adam", "peak_lr": 0.01, "schedule": "constant"}
    recipe = {"system": "perceptual", "model_size": "tiny", "model": MODEL, "train": train}
    recipe |= {"filter": {"min_utterance_sec": 0.1}, "loader": {"max_duration": 0.5, "num_buckets": 1}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "models").mkdir()
    (folder / "models" / "tiny.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_codec_corpus(tmp_path_factory.mktemp("codec"))


@pytest.mark.parametrize("filling", ["soundstorm", "flow_matching"])
def test_a_killed_training_goes_on_exactly(filling, folder, tmp_path):
    goes_on_exactly(folder, tmp_path, model__filling=filling)


def test_codes_of_a_split_are_written_as_a_folder_of_codes(folder, tmp_path):
    cuts, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz", SPEC)
    prediction, config = PerceptualPrediction(), FillConfig(prompt_sec=0.06)
    settings = TrainSettings()
    files = prediction.output(tmp_path, settings, config, "epoch-1-avg-1", False)
    trained = Trained(tmp_path, settings, SPEC, None, network_of("soundstorm").eval())
    facts = prediction.predict("dev", trained, cuts, config, RunConfig(device="cpu"), files)
    assert facts["num_utterances"] == 3
    written, spec = load_feature_cuts(files.said("dev"))
    assert spec == SPEC and [cut.id for cut in written] == [cut.id for cut in cuts]
    for cut, before in zip(written, cuts):
        found, true = load_frames(cut, SPEC), load_frames(before, SPEC)
        assert np.array_equal(found[:3], true[:3]) and np.array_equal(found[:, 0], true[:, 0])
        assert found.shape == true.shape and (found < np.array(SIZES)).all()


def test_what_cannot_be_filled_is_refused_in_a_sentence():
    config = from_dict(ModelConfig, {**MODEL, "filling": "flow_matching"}, "test")
    one = dataclasses.replace(SPEC, codebook_sizes=(6,), num_codebooks=1)
    with pytest.raises(ValueError, match="'toy_codec' has 1 codebooks, but of each frame the first code is to tell"):
        build_filler(config, one, codebooks()[:1])
    with pytest.raises(ValueError, match="flow_matching needs the vectors of codes: set --embedding-init codebook"):
        build_filler(config, SPEC, None)
    with pytest.raises(ValueError, match="iterations is empty, expected one number of passes or more"):
        FillConfig(iterations=())


def test_published_recipes_build_what_they_say():
    spec = dataclasses.replace(SPEC, codebook_sizes=(1024,) * 8, num_codebooks=8)
    books = [torch.zeros(1024, 16)] * 8
    sizes = {"perceptual": (1e6, 4e6), "perceptual_speechgpt_gen": (1.7e7, 4.2e7), "valle_second": (2e7, 4e7)}
    said = {"perceptual_speechgpt_gen": ("flow_matching", False, 0.5), "valle_second": ("nar", True, 1.0)}
    for name, (least, most) in sizes.items():
        settings = read_settings(CONF_DIR / "recipes" / f"{name}.json", None, [CONF_DIR], SimpleNamespace())
        model = settings.model
        if name in said:  # one of their twelve layers
            assert (model.filling, model.reads_text, settings.train.max_grad_norm) == said[name]
            assert model.encoder.num_layers == 12
            one = dataclasses.replace(model.encoder, num_layers=1)
            settings = dataclasses.replace(settings, model=dataclasses.replace(model, encoder=one))
        network = build_filler(settings.model, spec, books)
        assert least < sum(value.numel() for value in network.parameters()) < most


def test_temperatures_that_overflow_and_threads_without_end_are_refused():
    for made, name in ((FillConfig, "code_temperature"), (SamplingConfig, "temperature")):
        assert made(**{name: 0.0}) and made(**{name: 0.001})
        with pytest.raises(ValueError, match=rf"{name} is 1e-30, expected 0, .*, or a number of at least 0\.001"):
            made(**{name: 1e-30})
    for made, key, value in ((DecodeConfig, "temperature", 1e-30), (RunConfig, "num_threads", 10**6)):
        with pytest.raises(ValueError, match=f"{key}.* is {value}, "):
            from_dict(made, {key: value}, "test")


def test_the_stages_train_it_and_first_codes_become_audio(folder, tmp_path, monkeypatch, capsys, caplog):
    data = ("--feature-dir", folder / "features", "--device", "cpu")
    more = ("--conf-dir", folder, "--backend", "torch", "--try-largest-batches", "false", "--exp-dir", tmp_path / "exp")
    run_stage_script("train.py", "--recipe-config", folder / "recipe.json", *data, *more)
    run_stage_script("decode.py", *data, "--exp-dir", tmp_path / "exp", "--splits", "dev", "--avg", 1)
    codec = SimpleNamespace(decode=lambda codes, lens: codes[:, :, 0].float().repeat_interleave(320, dim=1) / 10)
    monkeypatch.setattr(code_filler, "load_experiment_tokenizer", lambda exp_dir, spec: codec)
    np.save(tmp_path / "first.npy", np.arange(6))
    np.save(tmp_path / "voice.npy", codes_of(1).numpy())
    flags = ["--exp-dir", str(tmp_path / "exp"), "--out", str(tmp_path / "said"), "--avg", "1", "--device", "cpu"]
    fill_command.main("fill", [str(tmp_path / "first.npy"), "--prompt", str(tmp_path / "voice.npy"), *flags])
    found = np.load(tmp_path / "said" / "first.npy")
    assert found.shape == (6, 3) and found[:, 0].tolist() == list(range(6))
    assert soundfile.info(tmp_path / "said" / "first.flac").frames == 6 * 320
    first = dataclasses.replace(SPEC, name="toy_codec_rvq1", num_codebooks=1, codebook_sizes=SIZES[:1])
    model = SimpleNamespace(units=lambda text, language: torch.tensor([[len(text)]] * 4), spec=first)
    monkeypatch.setattr(fill_command, "TextAndSpeech", lambda exp_dir, run: model)
    fill_command.main("fill", ["--text", "so", "--lm-exp-dir", "first", *flags])
    assert np.load(tmp_path / "said" / "text-1.npy")[:, 0].tolist() == [2] * 4
    with pytest.raises(ValueError, match="give files of first codes, or both --lm-exp-dir and --text"):
        fill_command.main("fill", ["--text", "so", *flags])
    wrong = {
        "other": (np.array([6]), "other: code 6 in frame 0 of codebook 0, expected 0 to 5, as"),
        "vectors": (np.zeros(3, np.float32), "vectors: codes are torch.float32, expected"),
        "nothing": (np.zeros(0, np.int64), "nothing: there are no codes, expected"),
    }
    for name, (held, _) in wrong.items():
        np.save(tmp_path / f"{name}.npy", held)
    (tmp_path / "said" / "first.flac").unlink()
    with pytest.raises(SystemExit) as ended:
        fill_command.main("fill", [str(tmp_path / f"{name}.npy") for name in (*wrong, "absent", "first")] + flags)
    assert ended.value.code == 1 and (tmp_path / "said" / "first.flac").is_file()
    for sentence in (*(reason for _, reason in wrong.values()), "absent.npy does not exist", "4 of 5 could not be"):
        assert sentence in caplog.text
    texts = ["--text", "so", "--lm-exp-dir", "first", *flags]
    np.save(tmp_path / "text-1.npy", np.arange(6))
    with pytest.raises(ValueError, match="two inputs would be written as 'text-1'"):
        fill_command.main("fill", [str(tmp_path / "text-1.npy"), *texts])
    np.save(tmp_path / "said" / "first.npy", codes_of(1).numpy())
    prompt = ["--prompt", str(tmp_path / "said" / "first.npy"), *flags]
    with pytest.raises(ValueError, match=r"said/first\.npy is read, and would be overwritten"):
        fill_command.main("fill", [str(tmp_path / "first.npy"), *prompt])
    model.spec = dataclasses.replace(first, codebook_sizes=(500,), frame_rate_hz=25.0)
    with pytest.raises(ValueError, match=r"is not the first codebook .*codebook_sizes \(500,\), expected \(6,\); f"):
        fill_command.main("fill", texts)
    np.save(tmp_path / "two\nlines.npy", np.arange(2))
    capsys.readouterr()
    fill_command.main("fill", [str(tmp_path / "two\nlines.npy"), *flags])
    assert [json.loads(line)[-10:] for line in capsys.readouterr().out.splitlines()] == ["\nlines.npy", "lines.flac"]
