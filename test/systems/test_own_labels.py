"""Labels that a recogniser gives itself: cache, teacher, order of batches, exact resume, and no truth in them."""

import pytest
import torch
from lhotse import CutSet
from synthetic_codes import SPEC, goes_on_exactly, make_trainer

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.label_share import with_labels
from icefall_discrete.data.loaders import LoaderConfig
from icefall_discrete.data.unlabelled import UNLABELLED, interleaved, places_of, unlabelled_batches, without_labels
from icefall_discrete.decoding.greedy import greedy_search
from icefall_discrete.systems.asr.own_labels import OwnLabels, OwnLabelsConfig
from icefall_discrete.training.resume import Noise

OWN = {"own_labels__batches_each": 1, "own_labels__start_epoch": 1, "own_labels__cache_batches": 2}
HALF = {"filter__label_fraction": 0.5, **OWN, "own_labels__replace_prob": 0.5, "own_labels__teacher_decay": 0.5}


@pytest.fixture(scope="module")
def made(corpus_dir, tmp_path_factory):
    """A trainer that labels half of its utterances itself, and its data."""
    return make_trainer(corpus_dir, tmp_path_factory.mktemp("own"), **HALF)


def test_batches_come_by_turns_wherever_one_begins():
    for each in (1, 3):
        whole = [(kind, n) for n in range(4) for kind in ["told", *["untold"] * each]]
        numbers = iter(range(99))
        whole = [(kind, n if kind == "told" else next(numbers)) for kind, n in whole]
        for start in range(len(whole)):
            told, untold = places_of(start, each)
            ours = [("told", n) for n in range(told, 4)]
            others = (("untold", n) for n in range(untold, 99))
            assert list(interleaved(iter(ours), others, each, start)) == whole[start:]


def test_batches_without_labels_have_no_text_and_no_labelled_utterance(made, corpus_dir):
    _, data = made
    cuts, _ = load_feature_cuts(corpus_dir / "features" / "train.jsonl.gz")
    used = {cut.id for cut in with_labels(cuts, 0.5)}
    batches = list(data.train_batches(1, 0))
    told, untold = batches[::2], batches[1::2]
    assert len(told) == len(untold) > 1 and not any(UNLABELLED in batch for batch in told)
    assert {name for batch in told for name in batch["cut_ids"]} == used
    for batch in untold:
        assert batch[UNLABELLED] and not any(batch["text"])
        assert not used & {*batch["cut_ids"]} and data.amount_of(batch) == 0.0
    assert sum(map(data.amount_of, batches)) == pytest.approx(data.epoch_amount, abs=0.1)
    rest = [batch["cut_ids"] for batch in data.train_batches(1, 3)]
    assert rest == [batch["cut_ids"] for batch in batches[3:]]
    with pytest.raises(ValueError, match="all training utterances have labels, so that there are none"):
        without_labels(cuts, cuts)


def test_a_teacher_labels_and_the_cache_keeps_what_it_said(made, corpus_dir):
    trainer, _ = made
    network = trainer.model
    cuts, _ = load_feature_cuts(corpus_dir / "features" / "train.jsonl.gz")
    some = CutSet.from_cuts(list(cuts)[:6])
    loader = LoaderConfig(max_duration=8.0, num_buckets=1)
    batches = list(zip(range(40), unlabelled_batches(some, loader, SPEC, 1, 1)))
    config = OwnLabelsConfig(batches_each=1, cache_batches=3, replace_prob=0.5, teacher_decay=0.5)
    own = OwnLabels(config, SPEC)
    torch.manual_seed(0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    own.follow(network)
    changed = {name: value + 1 if value.is_floating_point() else value for name, value in before.items()}
    network.load_state_dict(changed)
    own.follow(network)
    for name, value in own.mean.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, before[name] + 0.5, rtol=1e-5, atol=1e-5)
    # The network itself labels where there is no mean, in evaluation mode, as greedy search says.
    network.load_state_dict(before)
    own.mean = {}
    network.train()
    batch = batches[0][1]
    labelled = own.label(batch, network)
    network.eval()
    with torch.no_grad():
        encoded = network.encode(batch["codes"], batch["frame_lens"])
        expected = [one.labels for one in greedy_search(network, encoded.encoder_out, encoded.lens) if one.labels]
    found = (
        []
        if labelled is None
        else [row[:length].tolist() for row, length in zip(labelled.labels, labelled.label_lens.tolist())]
    )
    assert found == expected
    own.label = lambda arriving, network: arriving["number"]  # from here on the cache alone
    taken = [own.draw({"number": number}, network) for number in range(40)]
    assert taken[:3] == [0, 1, 2] and len(own.entries) == 3
    assert all(one < number for number, one in enumerate(taken[3:], start=3)), "what is trained on was kept before"
    assert 10 < len({*taken}) < 35, "about half of those that came took a place"


def test_a_killed_training_goes_on_as_if_it_had_not_been(corpus_dir, tmp_path):
    goes_on_exactly(corpus_dir, tmp_path, **HALF)
    path = next((tmp_path / "killed").glob("checkpoint-*.pt"))
    assert "own_labels" in load_checkpoint(path)["noise"][0]


def test_what_was_taken_of_a_state_stays_what_it_is(made):
    trainer, data = made
    batch = next(one for one in data.train_batches(1, 0) if UNLABELLED in one)
    trainer.system.before_step(0)
    noise = Noise(trainer.system)
    state = noise.state_dict()
    first = trainer.system.prepare(batch, torch.device("cpu"))
    trainer.system.before_step(1)
    noise.load_state_dict(state)
    again = trainer.system.prepare(batch, torch.device("cpu"))
    assert torch.equal(first.frames, again.frames) and torch.equal(first.labels, again.labels)
    untaught = trainer.system.losses(first, 0) if not first.is_taught else None
    assert untaught is None or float(untaught.total) == 0.0
