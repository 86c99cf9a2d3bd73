"""Language models of units: patterns, what codes cost, how they go on, exact resume, and the stages of a recipe."""

import contextlib
import json
import math

import numpy as np
import pytest
import torch
from lhotse import CutSet
from synthetic_codes import SPEC, goes_on_exactly, write_corpus
from toy_corpus import run_stage_script

from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.dataset import collate
from icefall_discrete.inference.continue_command import main
from icefall_discrete.systems.unit_lm.generation import NEVER, SamplingConfig, continued, probabilities
from icefall_discrete.systems.unit_lm.network import ModelConfig, build_unit_lm
from icefall_discrete.systems.unit_lm.patterns import PATTERNS, Pattern, padded
from icefall_discrete.systems.unit_lm.ranking import in_another_order, parts_of_chunks, parts_of_words
from icefall_discrete.systems.unit_lm.system import UnitLmSystem
from icefall_discrete.text.alignments import Segment

SIZES = (5, 7, 4)
BOOKS = FeatureSpec("books", "codes", 16000, 50.0, 3, SIZES, 0)
DECODER = {"dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 24, "dropout": 0.0}


def codes(num_frames, seed=0, sizes=SIZES):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(size, (num_frames,), generator=generator) for size in sizes], dim=1)


def small(pattern="delay", spec=BOOKS, **model):
    torch.manual_seed(0)
    config = from_dict(ModelConfig, {"pattern": pattern, "decoder": DECODER, **model}, "test")
    network = build_unit_lm(config, spec)
    for name, value in network.named_parameters():  # larger than at first, so that choices differ
        if value.dim() > 1 and name != "input_embedding.table":
            torch.nn.init.normal_(value, std=0.5)
    torch.nn.init.normal_(network.input_embedding.table.data[:-1])
    return network.eval()


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("books", [1, 2, 3])
@pytest.mark.parametrize("num_frames", [0, 1, 2, 9])
def test_patterns_and_their_inverses_are_exact(kind, books, num_frames):
    pattern = Pattern(kind, SIZES[:books])
    given = codes(num_frames, sizes=SIZES[:books])
    steps = pattern.arranged(given)
    assert torch.equal(pattern.restored(steps), given)
    pad = torch.tensor(pattern.stream_sizes)
    assert int((steps != pad).sum()) == num_frames * books + 1, "each code once, and one end"
    for step, row in enumerate(steps):
        ended = int((steps[:, 0] == pattern.end).nonzero()[0])
        is_end = step == ended
        assert (row != pad).tolist() == [open_ or (is_end and not stream) for stream, open_ in
                                         enumerate(pattern.is_open(step, ended))]  # fmt: skip
        said = torch.cat(
            [torch.nn.functional.one_hot(one, size + 1)[:-1] for one, size in zip(row, pattern.stream_sizes)]
        )
        assert bool(pattern.choosable(step)[said.bool()].all())
    assert len(steps) == pattern.last_step(ended) + 1
    known = pattern.known_steps(num_frames)
    assert torch.equal(pattern.begun(given, known + 2)[:known], steps[:known])


def test_the_delay_is_musicgens():
    steps = Pattern("delay", (9, 9, 9)).arranged(torch.tensor([[1, 2, 3], [4, 5, 6]]))
    assert steps.tolist() == [[1, 9, 9], [4, 2, 9], [9, 5, 3], [10, 9, 6]]


@pytest.mark.parametrize("kind", PATTERNS)
@torch.no_grad()
def test_what_codes_cost_is_a_probability_of_the_whole(kind):
    """Of two codebooks: all utterances of up to one frame, and whatever begins with two, have probability one."""
    spec = FeatureSpec("two", "codes", 16000, 50.0, 2, (2, 3), 0)
    network = small(kind, spec)
    every = [torch.zeros(0, 2, dtype=torch.int64), *(torch.tensor([[a, b]]) for a in range(2) for b in range(3))]
    whole = sum(math.exp(-float(network(one[None], torch.tensor([len(one)])).nats)) for one in every)
    begun = [torch.tensor([[a, b], [c, 0]]) for a in range(2) for b in range(3) for c in range(2)]
    pattern = network.pattern
    for one in begun:
        steps = pattern.arranged(one)[None]
        nats = network.tell(steps)[0]
        kept = torch.zeros_like(nats)
        if kind == "flat":
            kept[:3] = 1.0
        elif kind == "delay":
            kept[0, 0] = kept[1, 1] = kept[1, 0] = 1.0
        else:
            kept[0] = kept[1, 0] = 1.0
        whole += math.exp(-float((nats * kept).sum()))
    assert whole == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", PATTERNS)
@torch.no_grad()
def test_a_batch_is_its_utterances(kind):
    network, rows = small(kind), [codes(9, 1), codes(4, 2), codes(6, 3)]
    lens = torch.tensor([len(row) for row in rows])
    together = network(padded(rows, SIZES), lens)
    alone = [network(row[None], lens[number : number + 1]) for number, row in enumerate(rows)]
    assert together.nats.tolist() == pytest.approx([float(one.nats) for one in alone], rel=1e-5)
    assert together.codes.tolist() == [3 * len(row) + 1 for row in rows]


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_continuations_keep_the_prompt_and_are_the_same_alone_and_together(kind, temperature):
    network, prompts = small(kind), [codes(5, 1), codes(0), codes(2, 3)]
    config = SamplingConfig(temperature=temperature, top_k=4)
    together = continued(network, prompts, config, 8)
    for number, (found, prompt) in enumerate(zip(together, prompts)):
        assert torch.equal(found[: len(prompt)], prompt) and len(found) <= len(prompt) + 8
        assert bool(((found >= 0) & (found < torch.tensor(SIZES))).all())
        assert torch.equal(continued(network, [prompt], config, 8, [number])[0], found)
    assert any(len(found) > len(prompt) for found, prompt in zip(together, prompts))


@pytest.mark.parametrize("kind", PATTERNS)
def test_codes_end_where_learned_positions_do(kind, monkeypatch):
    network = small(kind, decoder={**DECODER, "positions": "learned", "context": 16})
    scores, no_end = network.scores, torch.zeros(sum(network.pattern.stream_sizes))
    no_end[network.pattern.end] = -1e9
    monkeypatch.setattr(network, "scores", lambda *given, **how: scores(*given, **how) + no_end)
    greedy, prompts = SamplingConfig(temperature=0.0), [codes(5, 1), codes(0), codes(3, 2)]
    most = {"delay": 16 - 2, "flat": 16 // 3, "parallel": 16}[kind]
    together = continued(network, prompts, greedy, 40)
    for found, prompt in zip(together, prompts):
        assert torch.equal(found[: len(prompt)], prompt) and len(found) == most
        assert torch.equal(continued(network, [prompt], greedy, 40)[0], found)
    with pytest.raises(ValueError, match=r"the prompt has .* steps, but the learned positions of the model end at 16"):
        continued(network, [codes(16)], greedy, 1)
    # So many frames, whose last codebooks come later, have no place either.
    with pytest.raises(ValueError, match=r"the prompt has .* steps") if kind == "delay" else contextlib.nullcontext():
        continued(network, [codes(15 if kind != "flat" else 4)], greedy, 1)


@pytest.mark.parametrize("kind", PATTERNS)
@torch.no_grad()
def test_the_most_probable_code_is_chosen_after_what_was_said(kind):
    """Step by step without anything kept: what `continued` says is what whole sequences say."""
    network, pattern = small(kind), Pattern(kind, SIZES)
    found = continued(network, [codes(3, 1)], SamplingConfig(temperature=0.0), 6)[0]
    steps = pattern.arranged(found)
    first = pattern.first_step()[None]
    scores = network.scores(torch.cat([first, steps[:-1]])[None])[0]
    for step in range(pattern.known_steps(3), pattern.known_steps(len(found))):
        row = scores[step].masked_fill(~pattern.choosable(step), float("-inf"))
        for stream, part in enumerate(row.split(pattern.stream_sizes)):
            said = int(steps[step, stream])
            if said < pattern.stream_sizes[stream] and (kind != "delay" or step - stream >= 3):
                assert said == int(part.argmax())


def test_draws_follow_the_distribution_that_is_asked_for():
    scores = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    assert probabilities(scores, SamplingConfig()).tolist() == pytest.approx([0.5, 0.25, 0.15, 0.1])
    assert probabilities(scores, SamplingConfig(top_k=2)).tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert probabilities(scores, SamplingConfig(top_p=0.6)).tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert probabilities(scores, SamplingConfig(top_p=0.5)).tolist() == pytest.approx([1, 0, 0, 0])
    both = probabilities(scores, SamplingConfig(top_k=3, top_p=0.7))  # 5/9, 5/18, 1/6: two reach 0.7
    assert both.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    flat = probabilities(scores, SamplingConfig(temperature=2.0))
    assert float(flat[0] / flat[3]) == pytest.approx(5**0.5)
    generator, config = SamplingConfig(seed=5).generator(1), SamplingConfig()
    drawn = torch.multinomial(probabilities(scores, config), 4000, replacement=True, generator=generator)
    assert (drawn.bincount(minlength=4) / 4000).tolist() == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.03)


@pytest.mark.parametrize("kind", PATTERNS)
def test_utterances_are_learnt_by_heart(kind):
    spec = FeatureSpec("two", "codes", 16000, 50.0, 2, (6, 4), 0)
    network = small(kind, spec, tied=kind != "parallel")
    system = UnitLmSystem(network.train(), spec)
    rows = [codes(7, seed, (6, 4)) for seed in range(3)]
    for number, row in enumerate(rows):
        row[0] = torch.tensor([number, number])
    batch = {"codes": padded(rows, (6, 4)), "frame_lens": torch.tensor([7] * 3), "cut_ids": list("abc")}
    optimizer = torch.optim.Adam(system.parameters(), 0.02)
    for step in range(100):
        found = system(system.prepare(batch, torch.device("cpu")), step)
        optimizer.zero_grad()
        found.objective().backward()
        optimizer.step()
    least = math.log(3) / (2 * 7 + 1) * (2 if kind == "parallel" else 1)  # which of the three it is has to be told
    assert least - 0.01 < float(found.objective().detach()) < least + 0.1
    said = continued(network.eval(), [row[:1] for row in rows], SamplingConfig(temperature=0.0), 20)
    assert all(torch.equal(one, row) for one, row in zip(said, rows))


def test_parts_of_words_and_chunks_stand_in_another_order():
    words = [Segment(0.1, 0.5, "a"), Segment(0.7, 1.0, "b"), Segment(1.0, 1.4, "c")]
    assert parts_of_words(words, 70, 50.0) == [30, 50]
    assert parts_of_chunks(70, 20.0) == [18, 35, 52] and parts_of_chunks(5, 20.0) == []
    given = codes(70)
    moved, is_another = in_another_order(given, [30, 50], 3)
    assert is_another and sorted(moved.tolist()) == sorted(given.tolist()) and not torch.equal(moved, given)
    assert torch.equal(moved, in_another_order(given, [30, 50], 3)[0])
    assert not in_another_order(given, [], 3)[1] and not in_another_order(given[:1].repeat(70, 1), [30], 3)[1]


@pytest.mark.parametrize(
    "given, reason",
    [
        ({"temperature": -1.0}, "temperature is -1.0, expected a number of at least 0"),
        ({"temperature": math.nan}, "temperature is NaN, expected a number of at least 0"),
        ({"temperature": math.inf}, "temperature is inf, expected 0, .* or a number of at least 0.001"),
        ({"temperature": 1e-9}, "temperature is 1e-09, expected 0, the most probable always, or a number of"),
        ({"top_p": 0.0}, "top_p is 0.0, expected a number above 0 and at most 1"),
        ({"top_p": math.nan}, "top_p is NaN"),
        ({"top_k": -1}, "top_k is -1, expected a whole number of at least 0"),
        ({"seed": -1}, "seed is -1, expected a whole number of at least 0"),
    ],
)
def test_draws_that_cannot_be_are_refused_in_a_sentence(given, reason):
    with pytest.raises(ValueError, match=reason):
        SamplingConfig(**given)


def test_more_to_choose_from_than_there_is_is_all():
    scores = torch.tensor([0.5, 2.0, NEVER])
    assert torch.allclose(probabilities(scores, SamplingConfig(top_k=99)), scores.softmax(dim=0))


def test_what_cannot_be_is_refused_in_a_sentence():
    for prompt, reason in (
        ([[0, 0, 4]], "the code 4, expected codes, from 0 on, of codebooks of 5, 7, 4"),
        ([[0]], r"shape \(1, 1\)"),
    ):
        with pytest.raises(ValueError, match=reason):
            continued(small(), [torch.tensor(prompt)], SamplingConfig(), 2)
    with pytest.raises(ValueError, match="'fb' are continuous features, and a language model of units tells codes"):
        small(spec=FeatureSpec("fb", "continuous", 16000, 100.0, 0, (), 8))
    with pytest.raises(ValueError, match=r"vectors of codes have 8 dimensions and the decoder 16, .* set codebook_"):
        small(input={"codebook_dim": 8, "embedding_dim": 16})
    with pytest.raises(ValueError, match="input_frame_rate_hz and input_positions are not for language models"):
        small(input={"input_frame_rate_hz": 100.0})
    dmel = FeatureSpec("dmel", "codes", 16000, 40.0, 3, (16,) * 3, 0)
    shared = {"codebook_dim": 4, "embedding_dim": 16, "codebook_combination": "concat"}
    assert small("parallel", dmel, tied=False, input=shared)(codes(4)[None], torch.tensor([4])).nats.isfinite()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("lm") / "corpus", num_train=12, num_dev=4, languages=("de", "fr"))
    train = {"num_epochs": 2, "average_period": 2, "log_interval": 2, "tensorboard": False}
    train["optimizer"] = {"kind": "adam", "peak_lr": 0.01, "warmup_steps": 5}
    model = {"decoder": {**DECODER, "dropout": 0.1}}
    recipe = {"system": "unit_lm", "model_size": "tiny", "model": model, "train": train}
    recipe["loader"] = {"max_duration": 8.0, "num_buckets": 3}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_a_killed_training_goes_on_as_if_it_had_not_been(folder, tmp_path):
    goes_on_exactly(folder, tmp_path, train__device="cpu")


def test_bits_of_a_second_are_those_of_all_codes(folder):
    network = small(spec=SPEC)
    cuts = load_feature_cuts(folder / "features" / "dev.jsonl.gz")[0]
    system = UnitLmSystem(network, SPEC)
    found = system.figures([collate(CutSet.from_cuts([cut]), SPEC) for cut in cuts])
    nats = sum(float(network(torch.from_numpy(cut.load_codes()).long()[None], torch.tensor([cut.codes.shape[0]])).nats)
               for cut in cuts)  # fmt: skip
    assert found["dev_bits_per_second"] == pytest.approx(
        nats / math.log(2) / sum(cut.duration for cut in cuts), rel=1e-5
    )


def test_the_stages_train_it_tell_codes_and_rank_them(folder, caplog):
    of_data = ("--feature-dir", folder / "features", "--device", "cpu")
    of_training = (*of_data, "--conf-dir", folder, "--backend", "torch", "--try-largest-batches", "false")
    exp_dir = folder / "lm"
    run_stage_script("train.py", "--recipe-config", folder / "recipe.json", *of_training, "--exp-dir", exp_dir)
    words = "".join(f"dev-0 1 {begin:.1f} 0.1 w\n" for begin in np.arange(0.0, 0.4, 0.1))
    (folder / "words.ctm").write_text(words)
    ranked = ("--ranking.alignments", folder / "words.ctm", "--ranking.chunk-sec", 0.1)
    run_stage_script("decode.py", *of_data, "--exp-dir", exp_dir, "--splits", "dev", "--avg", 1, *ranked)
    run_stage_script("score.py", "--exp-dir", exp_dir, "--feature-dir", folder / "features")
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["dev"]
    assert 1 < scored["unit_perplexity"]["value"] < 20
    assert 10 < scored["fourgram_bits"]["value"] < scored["unigram_bits"]["value"] < 300
    assert 0 <= scored["order_ranked"]["rate"] <= 100 and scored["going_on_ranked"]["num"] == 4
    assert set(scored["languages"]) == {"de", "fr"} and scored["unit_bits"]["value"] > 10
    goes_on_with_codes(folder, exp_dir, caplog)


def goes_on_with_codes(folder, exp_dir, caplog):
    prompts, out = [folder / "one.npy", folder / "two.npy"], folder / "said"
    np.save(prompts[0], np.arange(16))
    np.save(prompts[1], np.array([[3], [4]], dtype=np.int16))
    flags = [
        "--exp-dir",
        str(exp_dir),
        "--prompt-sec",
        "0.2",
        "--max-sec",
        "0.4",
        "--num-samples",
        "2",
        "--device",
        "cpu",
    ]
    main("continue", [*map(str, prompts), *flags, "--out", str(out)])
    found = {path.stem: np.load(path) for path in out.iterdir()}
    assert sorted(found) == ["one-1", "one-2", "two-1", "two-2"] and len(found["one-1"]) <= 30
    assert found["one-1"][:10, 0].tolist() == list(range(10)) and found["two-2"][:2, 0].tolist() == [3, 4]
    main("continue", [str(prompts[0]), *flags, "--out", str(out / "again")])
    assert np.array_equal(np.load(out / "again" / "one-2.npy"), found["one-2"]), "its seed decides, not its company"
    np.save(prompts[0], np.array([99]))
    with pytest.raises(SystemExit, match="1"):
        main(
            "continue", [str(prompts[0]), str(prompts[1]), str(folder / "gone.npy"), *flags, "--out", str(out / "rest")]
        )
    assert "one.npy: code 99 " in caplog.text and "gone.npy does not exist" in caplog.text
    assert "2 of 3 prompts could not be gone on with" in caplog.text
    assert sorted(path.name for path in (out / "rest").iterdir()) == ["two-1.npy", "two-2.npy"]
    with pytest.raises(ValueError, match=r"one\.npy is read, and would be overwritten by what is made of it"):
        main("continue", [str(prompts[0]), *flags, "--num-samples", "1", "--out", str(prompts[0].parent)])
