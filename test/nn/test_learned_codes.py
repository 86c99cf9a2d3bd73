"""Codes that are learnt with the network: hard ones are a k-means', gradients are soft ones', exports give the same."""

from pathlib import Path

import pytest
import torch
from synthetic_codes import TINY_RECIPE

from icefall_discrete.base.atomic_files import copy_file
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.learned_kmeans import write_feature_type
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.nn.frame_network import InputConfig, build_input_embedding
from icefall_discrete.nn.learned_codes import LearnedCodes
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.stages import AsrStages
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.training.averages import save_averaged

SPEC = FeatureSpec("toy_frames", "continuous", 16000, 50.0, 0, (), 4)


def toy(straight_through=True, temperature=0.3):
    torch.manual_seed(0)
    codes = LearnedCodes(4, 6, 5, temperature, straight_through)
    codes.set_statistics(torch.full((4,), 1.0), torch.tensor([2.0, 1.0, 0.5, 1.0]))
    return codes


def frames(num=7, seed=1):
    return torch.randn(2, num, 4, generator=torch.Generator().manual_seed(seed)) + 1.0


@pytest.mark.parametrize("straight_through", [True, False])
def test_a_frame_has_the_vector_of_the_nearest_centroid(straight_through):
    codes, x = toy(straight_through).eval(), frames()
    normal = (x - 1.0) / torch.tensor([2.0, 1.0, 0.5, 1.0])
    nearest = torch.cdist(normal, codes.centroids.expand(2, 5, 4)).argmin(dim=2)
    x[0, 3] = 0.0  # padding
    expected = codes.table[nearest]
    expected[0, 3] = 0.0
    torch.testing.assert_close(codes(x), expected)
    assert len(nearest.unique()) > 2
    kept = torch.ones(2, 7, dtype=torch.bool)
    kept[0, 3] = False
    assert torch.equal(codes.codes(x)[kept], nearest[kept])


def test_gradients_are_those_of_the_soft_assignment():
    x, along = frames(), torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(2))
    hard, soft = toy(True).train(), toy(False).train()
    assert torch.allclose(hard(x), toy().eval()(x), atol=1e-6) and not torch.allclose(hard(x), soft(x), atol=1e-2)
    normal = (x - 1.0) / torch.tensor([2.0, 1.0, 0.5, 1.0])
    distances = (normal.unsqueeze(2) - soft.centroids).square().mean(dim=3)
    expected = (-distances / 0.3).softmax(dim=2) @ soft.table
    torch.testing.assert_close(soft(x), expected, rtol=1e-4, atol=1e-5)
    for codes in (hard, soft):
        (codes(x) * along).sum().backward()
    assert float(soft.centroids.grad.abs().max()) > 0
    torch.testing.assert_close(hard.centroids.grad, soft.centroids.grad, rtol=1e-4, atol=1e-5)


def test_centroids_follow_a_loss_that_the_first_ones_cannot_serve():
    torch.manual_seed(0)
    codes, out = LearnedCodes(2, 4, 2, 0.3, True).train(), torch.nn.Linear(4, 2)
    codes.set_centroids(torch.tensor([[0.1, -1.0], [-0.1, 1.0]]))  # what is asked for is the other dimension
    x = torch.randn(1, 200, 2)
    wanted = (x[0, :, 0] > 0).long()

    def right():
        return float((out(codes(x))[0].argmax(dim=1) == wanted).float().mean())

    before = float(((codes.codes(x)[0] == 0) == (wanted == 1)).float().mean())
    optimizer = torch.optim.Adam([*codes.parameters(), *out.parameters()], 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(out(codes(x))[0], wanted).backward()
        optimizer.step()
    codes.eval()
    assert 0.3 < before < 0.7 and right() > 0.95


def test_an_export_gives_the_codes_that_the_recogniser_reads(corpus_dir, tmp_path, speech, monkeypatch):
    fbank = load_tokenizer("fbank")
    recipe = {name: value for name, value in TINY_RECIPE.items() if name != "bpe"}
    changes = {"embedding_dim": 12, "learned_codes": 6, "embedding_init": "learned"}
    recipe["model"] = {**recipe["model"], **changes}
    settings = TrainSettings.from_dict(recipe, "test")
    targets = PieceTargets(TextEncoder(corpus_dir / "lang" / "bpe.model"))
    network = AsrStages().network(settings, fbank.spec, targets, None).eval()
    heard = fbank.encode(speech[None], torch.tensor([len(speech)]))[0]
    embedding = network.input_embedding
    embedding.set_statistics(heard[0].mean(dim=0), heard[0].std(dim=0))
    embedding.set_centroids(embedding.normalized(heard)[0, ::33][:6])
    exp_dir = tmp_path / "exp"
    exp_dir.mkdir()
    Experiment(exp_dir).start(settings, fbank.spec, targets, None)
    save_tokenizer(fbank, exp_dir)
    save_averaged(exp_dir, network.state_dict(), Provenance({}))
    values = write_feature_type(exp_dir, CheckpointChoice(checkpoint="averaged.pt"), tmp_path / "learnt.json")
    assert values["tokenizer"] == "fbank_kmeans" and values["num_clusters"] == 6
    learnt = load_tokenizer(tmp_path / "learnt.json")
    found = learnt.encode(speech[None], torch.tensor([len(speech)]))[0][0, :, 0]
    assert torch.equal(found, embedding.codes(heard)[0]) and len(found.unique()) > 3
    # Whoever reads it may be in another folder; an export again is in place of the first.
    monkeypatch.chdir(tmp_path)
    assert write_feature_type(exp_dir, CheckpointChoice(checkpoint="averaged.pt"), Path("learnt.json")) == values
    monkeypatch.chdir("/")
    assert load_tokenizer(tmp_path / "learnt.json").spec.provenance == learnt.spec.provenance
    # What a recipe says of its own folder holds for another recipe, too.
    recipe = tmp_path / "toy" / "ASR"
    write_json(recipe / "conf" / "features" / "own.json", {**values, "kmeans_path": "./data/km.safetensors"})
    copy_file(tmp_path / "learnt.safetensors", recipe / "data" / "km.safetensors")
    (tmp_path / "toy" / "LM").mkdir()
    monkeypatch.chdir(tmp_path / "toy" / "LM")
    own = load_tokenizer("../ASR/conf/features/own.json").spec
    assert own.provenance["kmeans_sha256"] == learnt.spec.provenance["kmeans_sha256"]
    (tmp_path / "mine.json").write_text('{"tokenizer": "fbank"}')
    write_json(exp_dir / "tokenizer" / "fbank.json", {})
    with pytest.raises(ValueError, match="'fbank' is of no frame source"):
        write_feature_type(exp_dir, CheckpointChoice(checkpoint="averaged.pt"), tmp_path / "second.json")
    for name, said in (("learnt.safetensors", "expected a JSON file"), ("mine.json", "is there already")):
        with pytest.raises(ValueError, match=said):
            write_feature_type(exp_dir, CheckpointChoice(checkpoint="averaged.pt"), tmp_path / name)
    assert load_tokenizer(tmp_path / "learnt.json").spec.provenance == learnt.spec.provenance


def test_what_cannot_be_learnt_is_refused_in_a_sentence():
    codes = FeatureSpec("codes", "codes", 16000, 50.0, 1, (10,), 0)
    with pytest.raises(ValueError, match="learned_codes is 5, but 'codes' are codes already; set it to 0"):
        build_input_embedding(from_dict(InputConfig, {"learned_codes": 5}, "test"), codes, None)
    with pytest.raises(ValueError, match="learned codes need embedding_dim above 0"):
        build_input_embedding(from_dict(InputConfig, {"learned_codes": 5, "embedding_dim": 0}, "test"), SPEC, None)
