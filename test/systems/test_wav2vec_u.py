"""wav2vec-U: losses against fairseq's, the ladder's first rungs, choices without transcripts, trainings that go on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_corpus import ToyConfig, make_cuts, make_tokenizer, run_stage_script

from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.data.label_share import is_pseudo_labelled
from icefall_discrete.experiment.stages.wav2vec_u import SECTIONS
from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.systems.wav2vec_u import speech as speech_module
from icefall_discrete.systems.wav2vec_u.config import (
    DiscriminatorConfig,
    GanTraining,
    GeneratorConfig,
    LossConfig,
    PoolingConfig,
    TextConfig,
    Wav2vecUConfig,
)
from icefall_discrete.systems.wav2vec_u.judge import Judge
from icefall_discrete.systems.wav2vec_u.ladder import (
    Language,
    match_moments,
    shuffled,
    spoken,
    symbol_error_rate,
)
from icefall_discrete.systems.wav2vec_u.loss import Rows, discriminator_losses, generator_losses
from icefall_discrete.systems.wav2vec_u.material import hear, prepare_speech
from icefall_discrete.systems.wav2vec_u.network import Said, best_symbols, join_runs
from icefall_discrete.systems.wav2vec_u.pooling import Pooling, fit_pooling, pair_means, run_means
from icefall_discrete.systems.wav2vec_u.saying import Speaker, divide_into_words
from icefall_discrete.systems.wav2vec_u.speech import padded_batch, write_speech
from icefall_discrete.systems.wav2vec_u.system import Pairing, Sizes, Wav2vecUSystem, build_network
from icefall_discrete.systems.wav2vec_u.text import Text, read_text, shuffled_text, with_silence
from icefall_discrete.systems.wav2vec_u.training import (
    SEEDS_DIR,
    WEIGHTS,
    Material,
    SeedTraining,
    Sweep,
    settings_to_keep,
    table_of,
)

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "icefall_discrete" / "conf" / "recipes"
SMALL_RECIPE = RECIPES / "wav2vec_u_small.json"
GOLDEN = load_file(ROOT / "test" / "assets" / "wav2vec_u.safetensors")
V = 9
V1 = Wav2vecUConfig(
    generator=GeneratorConfig(dropout=0.0),
    discriminator=DiscriminatorConfig(kernel=4, dim=5),
    loss=LossConfig(gradient_penalty=1.5, smoothness=0.5, diversity=4.0),
)
V2 = Wav2vecUConfig(
    pooling=PoolingConfig(pooling="frames"),
    generator=GeneratorConfig(kernel=9, stride=3, dropout=0.0, norm_scale=30.0, residual=True),
    discriminator=DiscriminatorConfig(kernel=3, dim=5),
    loss=LossConfig(gradient_penalty=1.5, smoothness=0.5, diversity=4.0, units=0.5),
)
CASES = {"v1": V1, "v2": V2}
# fairseq's names, and ours; of losses too.
NAMES = {
    "generator.proj.1": "generator.conv",
    "generator.bn": "generator.norm",
    "generator.in_proj": "generator.beside",
    "decoder": "generator.units",
    "discriminator.net.0": "discriminator.convs.0",
    "discriminator.net.3.0": "discriminator.convs.1",
    "discriminator.net.4": "discriminator.convs.2",
}
LOSSES = {
    "grad_pen": "gradient_penalty",
    "code_pen": "diversity",
    "smoothness": "smoothness",
    "mmi": "units",
    "dense_d": "speech_d",
    "token_d": "text_d",
    "dense_g": "speech_g",
}


def golden(name):
    """What begins with `name`, without it."""
    return {key[len(name) + 1 :]: value for key, value in GOLDEN.items() if key.startswith(f"{name}/")}


def their_system(case):
    config = CASES[case]
    system = Wav2vecUSystem(build_network(config, Sizes(6, V, 7 if config.loss.units else 0)), config)
    weights = {}
    for name, value in golden(f"{case}/weights").items():
        start, _, end = name.rpartition(".")
        weights[f"{NAMES[start]}.{end}"] = value.long() if end == "num_batches_tracked" else value
    system.network.load_state_dict(weights)
    return system


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("case", sorted(CASES))
def test_losses_and_gradients_are_fairseqs(case, step, monkeypatch):
    monkeypatch.setattr("icefall_discrete.systems.wav2vec_u.system.join_runs", lambda said, draw: said)
    system, found = their_system(case).train(), golden(f"{case}/step{step}")
    features, text, units = (GOLDEN[f"{case}/{name}"] for name in ("features", "text", "units"))
    lens = torch.full((len(features),), features.shape[1])
    system.before_step(step)
    losses = system.losses(Pairing(features, lens, text, units, seed=7), step)
    expected = {LOSSES[name]: value.item() for name, value in found.items() if name != "gradient"}
    assert {name: value.item() for name, value in losses.parts.items() if value} == pytest.approx(expected, rel=2e-5)
    (losses.objective() * losses.frames).backward()
    other = system.network.generator if step else system.network.discriminator
    assert all(value.grad is None for value in other.parameters())
    grads = {name: one.grad for name, one in system.network.named_parameters()}
    flat = torch.cat([grads[name].flatten() for name in their_order(step) if name in grads])
    torch.testing.assert_close(flat, found["gradient"], rtol=2e-4, atol=2e-4 * found["gradient"].abs().max().item())


def their_order(step):
    """Our names of the parameters of the network that learns, in the order in which fairseq has them."""
    if step:
        return [f"discriminator.convs.{place}.{kind}" for place in range(3) for kind in ("weight", "bias")]
    beside = [f"generator.{one}.{kind}" for one in ("norm", "beside") for kind in ("weight", "bias")]
    return ["generator.conv.weight", *beside]


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_a_generator_says_is_fairseqs_and_company_changes_nothing(case):
    system = their_system(case).eval()
    features = GOLDEN[f"{case}/features"].clone()
    features[1, 9:] = 0
    lens = torch.tensor([12, 9, 12])
    said = system.network.generator(features, lens)
    mask = GOLDEN[f"{case}/padded_mask"].bool()
    assert said.lens.tolist() == (~mask).sum(dim=1).tolist()
    rows = [0, 2] if case == "v2" else [0, 1, 2]  # with a bias in what is added, fairseq's padding is heard
    expected = GOLDEN[f"{case}/padded_logits"].masked_fill(mask.unsqueeze(2), 0.0)
    torch.testing.assert_close(said.logits[rows], expected[rows], rtol=1e-4, atol=1e-4)
    alone = system.network.generator(features[1:2, :9], lens[1:2])
    torch.testing.assert_close(said.logits[1, : alone.logits.shape[1]], alone.logits[0], rtol=1e-4, atol=1e-4)


def test_runs_are_joined_as_by_fairseq():
    found = golden("join")
    lens = (1 - found["mask"]).sum(dim=1)
    runs = join_runs(Said(found["logits"], lens), draw=False)
    assert runs.lens.tolist() == (1 - found["runs_mask"]).sum(dim=1).tolist()
    torch.testing.assert_close(runs.logits, found["runs"][:, : runs.logits.shape[1]])
    torch.manual_seed(0)
    drawn = join_runs(Said(found["logits"], lens), draw=True)
    for row, length in enumerate(lens.tolist()):
        best = found["logits"][row, :length].argmax(dim=1).tolist()
        expected = [one for place, one in enumerate(best) if place == 0 or one != best[place - 1]]
        assert drawn.logits[row, : drawn.lens[row]].argmax(dim=1).tolist() == expected
        assert best_symbols(Said(drawn.logits, drawn.lens))[row] == [one for one in expected if one]
        heard = {tuple(frame) for frame in found["logits"][row, :length].tolist()}
        assert {tuple(frame) for frame in drawn.logits[row, : drawn.lens[row]].tolist()} <= heard


@pytest.mark.parametrize("case", sorted(CASES))
def test_padding_changes_no_loss(case):
    system = their_system(case).eval()
    torch.manual_seed(1)
    said = Said(torch.randn(2, 8, V), torch.tensor([8, 5]))
    text = Rows(torch.randn(2, 7, V).softmax(dim=2), torch.tensor([4, 7]))
    found = []
    for more in (0, 6):
        pad = torch.nn.functional.pad
        longer = Said(pad(said.logits, (0, 0, 0, more), value=3.0), said.lens)
        rows = Rows(pad(text.shares, (0, 0, 0, more), value=0.5), text.lens)
        discriminator = system.network.discriminator
        torch.manual_seed(2)
        speech = Rows(longer.logits.softmax(dim=2), longer.lens)
        losses = discriminator_losses(discriminator, rows, speech, system.config.loss)
        losses.update(generator_losses(discriminator, longer, system.config.loss))
        found.append({name: value.item() for name, value in losses.items()})
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_a_language_is_found_by_its_moments_and_not_in_shuffled_text():
    language = Language.made_up(6, 0)
    heard, read = language.lines(100, 1), language.lines(100, 2)
    found, *_, worst = match_moments(heard, read, 6, restarts=4, steps=120, seed=0)
    assert symbol_error_rate(heard, found.say(heard)) == 0.0 and found.distance < worst.distance / 5
    control = match_moments(heard, shuffled(read, 3), 6, restarts=4, steps=120, seed=0)[0]
    assert symbol_error_rate(heard, control.say(heard)) > 0.3 and control.distance > 10 * found.distance


def test_frames_are_pooled_by_runs_and_pairs(tmp_path):
    frames = np.arange(14, dtype=np.float32).reshape(7, 2)
    runs = run_means(frames, np.array([4, 4, 1, 1, 1, 4, 2]))
    assert runs.tolist() == [[1, 2], [6, 7], [10, 11], [12, 13]]
    assert pair_means(runs).tolist() == [[3.5, 4.5], [11, 12]]
    assert pair_means(runs[:3]).tolist() == [[3.5, 4.5], [10, 11]]
    lines = Language.made_up(5, 0).lines(80, 1)
    heard = spoken(lines, 5, 8, 0.05, 2)
    pooling = fit_pooling(heard, PoolingConfig(pooling="runs", clusters=5, pca_dim=4), seed=0)
    # One cluster a symbol, so that there are as many segments as symbols, of the dimensions in which they differ.
    assert [len(pooling(one)) for one in heard] == [len(line) for line in lines]
    pooling.save(tmp_path)
    assert np.array_equal(Pooling.load(tmp_path)(heard[0]), pooling(heard[0]))
    with pytest.raises(ValueError, match=r"there are \d+ frames of speech, and 128 clusters and 512 dimensions need"):
        fit_pooling(heard[:2], PoolingConfig(), seed=0)


def test_text_becomes_symbols_with_silence_where_it_may_be():
    text = read_text(["Ab c!", "ca", "ba ba", "..."], TextConfig(), "t.txt")
    assert text.symbols == ["<sil>", "a", "b", "c"] and text.lines == [[[1, 2], [3]], [[2, 1], [2, 1]]]
    generator = torch.Generator().manual_seed(0)
    assert with_silence(text.lines[0], 0.0, generator) == [0, 1, 2, 3, 0]
    assert with_silence(text.lines[0], 1.0, generator) == [0, 1, 2, 0, 3, 0]
    drawn = [with_silence(text.lines[1], 0.25, generator) for _ in range(400)]
    assert 0.18 < sum(len(row) == 7 for row in drawn) / 400 < 0.32
    control = shuffled_text(text, 1)
    assert [sorted(row) for row in control.flat] == [sorted(row) for row in text.flat]
    with pytest.raises(
        ValueError, match=r"t.txt: 0 of 2 lines with 0 different sounds.*1 lines: nothing in it is said"
    ):
        read_text(["--", "one"], TextConfig(), "t.txt")


TINY = Wav2vecUConfig(
    generator=GeneratorConfig(),
    discriminator=DiscriminatorConfig(kernel=3, dim=6),
    train=GanTraining(
        steps=6, batch_size=5, generator_lr=0.01, discriminator_lr=0.001, check_steps=4, save_steps=1, device="cpu"
    ),
)


@pytest.fixture
def material(tmp_path):
    language = Language.made_up(4, 0)
    heard = [(f"utt-{n}", one, None) for n, one in enumerate(spoken(language.lines(12, 1, 4, 7), 4, 3, 0.1, 2))]
    train, dev = write_speech(tmp_path / "train", heard, 9.0), write_speech(tmp_path / "dev", heard[:3], 2.0)
    lines = language.lines(12, 3, 4, 7)
    text = Text(["<sil>", *"abcd"], [[line[:3], line[3:]] for line in lines])
    return Material(train, dev, text, Judge(text.flat, 5, 2))


def sweep(material, folder, seeds, config=TINY):
    return Sweep(config, settings_to_keep(config), material, folder).run(seeds, "weighted_perplexity")


def test_a_sweep_that_is_killed_goes_on_exactly_and_seeds_may_be_added(material, tmp_path, monkeypatch):
    whole = sweep(material, tmp_path / "whole", [0, 1])
    draw = speech_module.Pairs._batch

    def killed(self, utterances, seed):
        killed.left -= 1
        if killed.left < 0:
            raise KeyboardInterrupt
        return draw(self, utterances, seed)

    killed.left = 9  # within the second seed
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(speech_module.Pairs, "_batch", killed)
        sweep(material, tmp_path / "parts", [0, 1])
    torch.manual_seed(99)
    resumed = sweep(material, tmp_path / "parts", [0, 1])
    for found in (whole, resumed):
        for row in found["seeds"]:
            del row["minutes"]
    assert resumed == whole
    files = [tmp_path / name / SEEDS_DIR / "1" / WEIGHTS for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    more = sweep(material, tmp_path / "parts", [0, 1, 2])
    assert [row["seed"] for row in more["seeds"]] == [0, 1, 2] and "chosen" in table_of(more)
    other = dataclasses.replace(TINY, loss=LossConfig(smoothness=0.1))
    with pytest.raises(
        ValueError, match=r"parts holds seeds trained with other loss.smoothness.*take another --exp-dir"
    ):
        sweep(material, tmp_path / "parts", [0], other)


def test_a_seed_that_fails_is_named_and_the_others_are_trained(material, tmp_path, monkeypatch):
    train = SeedTraining._train

    def failing(self, seed):
        if seed == 0:
            raise RuntimeError("the loss is not finite")
        train(self, seed)

    monkeypatch.setattr(SeedTraining, "_train", failing)
    found = sweep(material, tmp_path / "exp", [0, 1])
    assert found["chosen"] == 1 and found["failed"] == {"0": "the loss is not finite"}
    assert "failed: the loss is not finite" in table_of(found)
    with pytest.raises(RuntimeError, match="all 1 seeds failed; the last one: the loss is not finite"):
        sweep(material, tmp_path / "none", [0])


def test_only_one_network_moves_in_a_step(material):
    system = Wav2vecUSystem(build_network(TINY, material.sizes), TINY)
    batch = {**padded_batch(["a", "b"], [material.train.of(0), material.train.of(1)]), "seed": 3}
    batch["text"] = torch.tensor([[0, 1, 2, 0], [0, 3, 0, -1]])
    for step, (moves, stays) in enumerate([("generator", "discriminator"), ("discriminator", "generator")]):
        system.before_step(step)
        system.zero_grad(set_to_none=True)
        system.losses(system.prepare(batch, torch.device("cpu")), step).objective().backward()
        assert all(one.grad is None for one in getattr(system.network, stays).parameters())
        assert all(one.grad is not None for one in getattr(system.network, moves).parameters())


def test_published_shapes_are_built_and_counted():
    counts = {}
    for name, dim, num_units in (("wav2vec_u", 512, 0), ("wav2vec_u2", 1024, 64), ("wav2vec_u_small", 64, 0)):
        recipe = read_object(RECIPES / f"{name}.json")
        sections = {key: value for key, value in recipe.items() if key not in ("description", "system")}
        assert recipe["system"] == "wav2vec_u" and set(sections) <= set(SECTIONS)
        config = from_dict(Wav2vecUConfig, sections, name)
        network = build_network(config, Sizes(dim, 40, num_units))
        counts[name] = [sum(one.numel() for one in part.parameters()) for part in network.children()]
        assert from_dict(Wav2vecUConfig, to_dict(config), name) == config
    # 39 phones and silence: 4 x 512 x 40. fairseq's dictionary has four more, of which none is ever said.
    assert counts["wav2vec_u"] == [81920, 6 * (40 * 384 + 384 * 384 + 384) + 2 * 384 + 1]
    units, beside = 1025 * 64, 1025 * 1024
    assert counts["wav2vec_u2"][0] == 2 * 1024 + beside + 9 * 1024 * 40 + units


def test_settings_that_do_not_go_together_are_named():
    with pytest.raises(ValueError, match=r"loss.units is 0.5: units are predicted of single frames by the residual"):
        Wav2vecUConfig(loss=LossConfig(units=0.5))
    with pytest.raises(ValueError, match="--front is phones, and whose is not said; give a --text-language"):
        read_text(["ein satz", "noch einer"], TextConfig(front="phones"), "text")


def test_symbols_are_divided_into_words_of_the_text():
    counts = {(1, 2): 5, (3,): 3, (1, 2, 3, 4): 1}
    assert divide_into_words([1, 2, 3, 1, 2], counts) == [[1, 2], [3], [1, 2]]
    assert divide_into_words([3, 7, 8, 3], counts) == [[3], [7, 8], [3]]
    assert divide_into_words([], counts) == []


def test_codes_are_heard_as_their_centroids_and_what_cannot_be_heard_is_named(tmp_path):
    extract(make_cuts(tmp_path / "audio", 2), make_tokenizer, tmp_path / "toy", "train", ExtractionConfig())
    books = [torch.randn(size, dim) for size, dim in zip((50, 30), (3, 2))]
    with pytest.raises(ValueError, match=r"'toy' in .* are codes without codebooks, and wav2vec-U hears frames"):
        hear(tmp_path / "toy", "train", [])
    heard = hear(tmp_path / "toy", "train", ["en"], books)
    codes = load_frames(heard.cuts[0], heard.spec)
    frames = heard.frames_of(heard.cuts[0])
    assert np.array_equal(frames[4], torch.cat([books[0][codes[4, 0]], books[1][codes[4, 1]]]).numpy())
    with pytest.raises(ValueError, match="units must be codes of one codebook"):
        hear(tmp_path / "toy", "train", [], books, unit_dir=tmp_path / "toy")
    units = heard._replace(units={cut.id: cut for cut in heard.cuts}, units_spec=heard.spec)
    assert units.num_units == 50
    assert np.array_equal(units.units_of(heard.cuts[0], len(frames)), codes[:, 0])
    assert np.array_equal(units.units_of(heard.cuts[0], 2 * len(frames))[:3], codes[:3, 0])
    with pytest.raises(ValueError, match=rf"cut {heard.cuts[1].id} has no units"):
        heard._replace(units={}, units_spec=heard.spec).units_of(heard.cuts[1], 5)


def test_units_are_learnt_beside_from_single_frames(material, tmp_path):
    rows = [
        (name, material.train.of(n), np.arange(material.train.lens[n]) % 7) for n, name in enumerate(material.train.ids)
    ]
    speech = write_speech(tmp_path / "units", rows, 9.0)
    config = dataclasses.replace(V2, train=dataclasses.replace(TINY.train, steps=2, check_steps=2))
    found = sweep(material._replace(train=speech, dev=speech, num_units=7), tmp_path / "exp", [0], config)
    assert found["chosen"] == 0
    batch = speech_module.speech_batch(speech, [0, 1])
    assert batch["units"][0, : speech.lens[0]].tolist() == rows[0][2].tolist()
    assert (batch["units"] == -1).sum() == batch["units"].numel() - speech.lens[:2].sum()


def test_stages_train_say_and_label(tmp_path, capsys):
    for seed, split in enumerate(("train", "dev")):
        cuts = make_cuts(tmp_path / "audio" / split, 4, seed, prefix=f"{split}-")
        extract(cuts, lambda: make_tokenizer(ToyConfig(kind="continuous")), tmp_path / "toy", split, ExtractionConfig())
    (tmp_path / "text.txt").write_text("one two three\ntwo forty\nthree one forty\n" * 5)
    flags = ["--feature-dir", tmp_path / "toy", "--exp-dir", tmp_path / "exp"]
    short = ["--steps", 4, "--check-steps", 2, "--batch-size", 2, "--clusters", 6, "--pca-dim", 0, "--num-seeds", 2]
    run_stage_script(
        "train_unsupervised.py",
        *flags,
        "--config",
        SMALL_RECIPE,
        "--text-file",
        tmp_path / "text.txt",
        *short,
    )
    shown = capsys.readouterr().out
    assert "weighted ppl" in shown and "text: perplexity" in shown
    (tmp_path / "text.txt").write_text("ein anderer text\nnoch einer\n")
    refused = run_stage_script(
        "train_unsupervised.py",
        *(*flags, "--config", SMALL_RECIPE, "--text-file", tmp_path / "text.txt", *short),
        check=False,
    )
    assert refused.returncode and "holds seeds trained with other text" in refused.stderr
    say = ["--split", "dev", "--all-seeds", "true", "--beam-size", 3]
    told = run_stage_script("say_unsupervised.py", *flags, *say, "--pseudo-labels", tmp_path / "pseudo.jsonl.gz")
    assert "% of" in capsys.readouterr().out
    run_stage_script("score_unsupervised.py", *flags, "--splits", "dev", "--beam-size", 3)
    result = read_object(tmp_path / "exp" / "result.json")
    chosen = read_object(tmp_path / "exp" / "said" / f"dev-beam3_lm0.5-seed{result['seeds']['chosen']}.json")
    assert result["sets"]["dev"]["ler"]["errors"] == chosen["errors"] and chosen["symbols"]
    assert [set(row["errors"]) for row in result["seeds"]["seeds"]] == [{"dev"}, {"dev"}]
    assert result["training"]["device"] and result["environment"]["commits"] and result["recipe"] == "custom"
    labelled = load_cuts(tmp_path / "pseudo.jsonl.gz")
    assert all(is_pseudo_labelled(cut) and cut.supervisions[0].text for cut in labelled)
    said_by = [cut.supervisions[0].custom["pseudo_label"] for cut in labelled]
    row = next(row for row in result["seeds"]["seeds"] if row["seed"] == result["seeds"]["chosen"])
    assert {(one["seed"], one["verdict"]) for one in said_by} == {(row["seed"], row["verdict"])}
    assert row["verdict"] != "near the text", "nothing is learnt in four steps"
    assert f"seed {row['seed']} that says the pseudo-labels is {row['verdict']}: what learns" in told.stderr
    (tmp_path / "exp" / "config.json").write_text("{}")
    before = (tmp_path / "exp" / "spec.json").stat().st_mtime_ns
    text = ["--text-file", tmp_path / "text.txt", "--num-seeds", 3]
    refused = run_stage_script("train_unsupervised.py", *flags, *text, check=False)
    assert refused.returncode and "exp holds an experiment, which this training would be mixed with" in refused.stderr
    assert (tmp_path / "exp" / "spec.json").stat().st_mtime_ns == before


def test_what_was_not_made_holds_nobody_to_its_settings(tmp_path):
    cuts = make_cuts(tmp_path / "audio", 2)
    extract(cuts, lambda: make_tokenizer(ToyConfig(kind="continuous")), tmp_path / "toy", "train", ExtractionConfig())
    heard = hear(tmp_path / "toy", "train", [])
    with pytest.raises(ValueError, match=r"999999 clusters .* lower --clusters"):
        prepare_speech(tmp_path / "exp", heard, heard, PoolingConfig(clusters=999999), 0)
    small = PoolingConfig(clusters=3, pca_dim=0)
    speech = prepare_speech(tmp_path / "exp", heard, heard, small, 0)
    assert speech["train"].ids == [cut.id for cut in heard.cuts]
    with pytest.raises(ValueError, match="holds speech made with other clusters"):
        prepare_speech(tmp_path / "exp", heard, heard, PoolingConfig(clusters=4, pca_dim=0), 0)
    # Features of another fit may have the same name, and the same cuts.
    provenance = {**heard.spec.provenance, "kmeans_sha256": "another"}
    other = heard._replace(spec=dataclasses.replace(heard.spec, provenance=provenance))
    with pytest.raises(ValueError, match=r"holds speech made with other spec\.provenance\.kmeans_sha256"):
        prepare_speech(tmp_path / "exp", other, heard, small, 0)


@pytest.mark.parametrize("value", [1e6, np.nan])
def test_what_half_precision_does_not_hold_is_named(tmp_path, value):
    with pytest.raises(ValueError, match=r"^utt-7: its features have numbers that 16 bits do not hold"):
        write_speech(tmp_path, [("utt-6", np.ones((3, 2)), None), ("utt-7", np.full((3, 2), value), None)], 1.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("speech.json", b"[]", "speech.json holds a list, expected an object; move the folder aside"),
        ("speech.json", b'{"ids": []}', "speech.json has no 'lens'"),
        ("segments.f16", b"12", "segments.f16 has 2 bytes, expected "),
        ("segments.f16", None, "segments.f16 does not exist"),
    ],
)
def test_speech_that_is_not_whole_is_named(material, tmp_path, name, content, sentence):
    path = tmp_path / "dev" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        speech_module.read_speech(tmp_path / "dev")


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"words": [[1, 2]]}, "'words' of .*wav2vec_u.json is .*, expected a list of words, each its symbols"),
        ({"sizes": [3]}, "'sizes' of .* is .3., expected three whole numbers"),
        ({"symbols": 5}, "'symbols' of .* is 5, expected a list of texts; train it"),
    ],
)
def test_a_model_of_something_else_is_named(tmp_path, values, sentence):
    whole = {"config": {}, "symbols": ["<sil>", "a"], "sizes": [2, 2, 0], "words": [[[1], 3]]}
    (tmp_path / "wav2vec_u.json").write_text(json.dumps({**whole, **values}))
    with pytest.raises(ValueError, match=sentence):
        Speaker(tmp_path)
