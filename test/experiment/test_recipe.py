import json
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from icefall_discrete.base import environment
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.methods import find_method
from icefall_discrete.experiment.folder import Experiment, read_codebooks
from icefall_discrete.experiment.recipe import add_setting_flags, model_size_file, read_settings, whole_recipe
from icefall_discrete.experiment.recipe_files import read_recipe
from icefall_discrete.nn.encoders.contract import ENCODERS
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.transducer import Heads, build_transducer
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.training.optimizers.scaled_adam import ScaledAdamConfig

ROOT = Path(__file__).resolve().parents[2]


def settings_of(folder, *flags):
    parser = ScriptParser("test")
    add_setting_flags(parser, TrainSettings)
    return read_settings(folder / "recipe.json", None, [folder], parser.parse_args(flags))


def start(folder, exp_dir, *flags):
    from synthetic_codes import SPEC

    codebooks = read_codebooks(folder / "features" / "codebooks.safetensors")
    experiment = Experiment(exp_dir)
    targets = PieceTargets(TextEncoder(folder / "lang" / "bpe.model"))
    experiment.start(settings_of(folder, *flags), SPEC, targets, codebooks)
    return experiment


def has_learnt(experiment):
    """What a training has begun is its own from its first checkpoint on."""
    (experiment.exp_dir / "epoch-1.pt").touch()


def test_flags_override_the_recipe_and_the_recipe_overrides_the_model_size(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mini.json").write_text(json.dumps({"decoder_dim": 64, "joiner_dim": 32}))
    recipe = {"model_size": "mini", "model": {"joiner_dim": 48}, "train": {"base_lr": 0.01}, "bpe": {"vocab_size": 20}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    settings = settings_of(tmp_path, "--context-size", "1", "--base-lr", "0.02", "--max-duration", "33")
    head = settings.model.heads.transducer
    assert (head.decoder_dim, head.joiner_dim, head.context_size) == (64, 48, 1)
    assert (settings.train.base_lr, settings.loader.max_duration, settings.train.num_epochs) == (0.02, 33.0, 30)


@pytest.mark.parametrize("kind", ["e_branchformer", "conformer", "transformer"])
def test_the_recipe_of_small_corpora_trains_any_encoder_of_its_size(kind):
    recipe = files("icefall_discrete") / "conf" / "recipes" / "small_corpus.json"
    settings = read_settings(recipe, f"tiny_{kind}", [], SimpleNamespace())
    encoder = settings.model.encoder
    assert (ENCODERS.name_of(type(encoder)), encoder.dropout) == (kind, (0.1,))
    assert settings.model.heads.inner_ctc.stacks == (2,)
    assert settings.train.optimizer == ScaledAdamConfig()


@pytest.mark.parametrize("head", ["transducer", "ctc", "ctc_attention"])
def test_recipes_that_compare_encoders_differ_in_nothing_else_and_are_of_one_size(head):
    recipe = files("icefall_discrete") / "conf" / "recipes" / f"compare_{head}.json"
    spec, found = FeatureSpec("units", "codes", 16000, 50.0, 2, (1000, 1000), 0), {}
    for size in ("tiny", "tiny_e_branchformer", "tiny_conformer", "tiny_bilstm", "tiny_contextnet"):
        settings = read_settings(recipe, size, [], SimpleNamespace())
        heads = Heads.trained_by(settings.loss)
        assert (heads.transducer, heads.attention_decoder) == (head == "transducer", head == "ctc_attention")
        network = build_transducer(settings.model, spec, 80, settings.augment, None, heads)
        found[size] = sum(value.numel() for value in network.encoder.parameters())
        others = {name: value for name, value in settings.to_dict().items() if name != "model"}
        assert others == found.setdefault("others", others)
        assert settings.model.heads == found.setdefault("heads", settings.model.heads)
        assert settings.model.encoder_frame_sec(spec) == 0.04
    sizes = [number for name, number in found.items() if name.startswith("tiny")]
    assert len(sizes) == 5 and max(sizes) < 1.1 * min(sizes)
    asked = find_method(read_recipe(recipe)["decode"]["decoding_method"]).heads_asked(0.3)
    assert all(getattr(heads, one) for one in asked)


@pytest.mark.parametrize("place", ["voxceleb/SID/conf/recipes/xvector", "asterisk/ASR/conf/recipes/units"])
def test_a_recipe_that_was_printed_whole_gives_the_same_settings(place, tmp_path):
    path, printed = ROOT / "egs" / f"{place}.json", tmp_path / "printed.json"
    printed.write_text(json.dumps(whole_recipe(path)))
    found, whole = (read_settings(one, None, [], SimpleNamespace()) for one in (path, printed))
    assert whole == found and read_recipe(printed)["description"] == read_recipe(path)["description"]


@pytest.mark.parametrize(
    "recipe, message",
    [
        ({"lodaer": {}}, r"unknown section lodaer; .*did you mean loader\?"),
        ({"train": {"base_lr": -1}}, r"recipe\.json: setting 'train.base_lr' is -1, .* a number above 0"),
        ({"loader": []}, r"recipe\.json: setting 'loader' is a list, expected an object"),
        ({"train": {"base_rl": 1.0}}, r"recipe\.json: unknown setting train\.base_rl .*did you mean base_lr\?"),
        ({"model_size": "huge"}, "unknown model size 'huge'; .*known: .*mini"),
    ],
)
def test_a_misspelt_recipe_is_refused_with_what_is_known(tmp_path, recipe, message):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mini.json").write_text("{}")
    (tmp_path / "recipe.json").write_text(json.dumps({"model_size": "mini", **recipe}))
    with pytest.raises(ValueError, match=message):
        read_settings(tmp_path / "recipe.json", None, [tmp_path], SimpleNamespace())


def test_a_model_size_may_be_a_path(tmp_path):
    (tmp_path / "own.json").write_text("{}")
    assert model_size_file(str(tmp_path / "own.json"), []) == tmp_path / "own.json"


def test_the_experiment_folder_rebuilds_the_model_without_the_data(corpus_dir, tmp_path):
    experiment = start(corpus_dir, tmp_path / "exp")
    names = {path.name for path in (tmp_path / "exp").iterdir()}
    assert names == {"config.json", "spec.json", "bpe.model", "bpe.json", "env.json", "codebooks.safetensors"}
    torch.manual_seed(0)
    model = experiment.build_model()
    assert experiment.settings() == settings_of(corpus_dir)
    assert model.vocab_size == experiment.text_encoder().vocab_size
    assert model.input_embedding.table.shape[1] == 12  # the codebook's, not a learned one's


def test_only_the_seed_may_differ_between_runs_of_one_digest(corpus_dir, tmp_path):
    flags = {"a": (), "b": ("--seed", "43"), "c": ("--num-threads", "1"), "d": ("--base-lr", "0.1")}
    digests = {name: start(corpus_dir, tmp_path / name, *of).digest_but_seed() for name, of in flags.items()}
    assert digests["a"] == digests["b"] == digests["c"] != digests["d"]
    (tmp_path / "b" / "data.json").write_text(json.dumps({"inputs": {"train": {"cuts": "others"}}}))
    assert Experiment(tmp_path / "b").digest_but_seed() != digests["a"]


def test_what_changes_batches_or_the_end_makes_another_training(corpus_dir, tmp_path):
    flags = {
        "a": (),
        "ws": ("--world-size", "2"),
        "mm": ("--max-minutes", "5"),
        "pa": ("--patience", "3"),
        "di": ("--decode-interval", "1"),
        "by": ("--best-by", "wer"),
        "bd": ("--best-by", "wer", "--decode-interval", "1"),
    }
    digests = {name: start(corpus_dir, tmp_path / name, *of).digest_but_seed() for name, of in flags.items()}
    assert digests["a"] == digests.pop("di") and len(set(digests.values())) == len(digests)


def test_a_resume_that_is_refused_later_leaves_the_settings_as_they_were(corpus_dir, tmp_path):
    experiment = start(corpus_dir, tmp_path / "exp")
    has_learnt(experiment)
    before = (tmp_path / "exp" / "config.json").read_bytes()
    start(corpus_dir, tmp_path / "exp", "--num-threads", "3")
    assert (tmp_path / "exp" / "config.json").read_bytes() == before
    experiment.note_settings(settings_of(corpus_dir, "--num-threads", "3"))
    assert experiment.settings().train.num_threads == 3


def test_every_commit_that_trains_is_noted(corpus_dir, tmp_path, monkeypatch):
    commits = iter(["a-clean", "a-clean", "b-dirty", "b-dirty"])
    monkeypatch.setattr(environment, "git_revision", lambda: next(commits))
    experiment, path = start(corpus_dir, tmp_path / "exp"), tmp_path / "exp" / "env.json"
    experiment.note_commit()
    assert "commits" not in json.loads(path.read_text())
    for _ in range(2):
        experiment.note_commit()
        assert environment.commits_in(json.loads(path.read_text())) == ["a-clean", "b-dirty"]
    assert json.loads(path.read_text())["git"] == "a-clean"


def test_learned_embeddings_leave_no_codebook_in_the_folder(corpus_dir, tmp_path):
    start(corpus_dir, tmp_path / "exp", "--embedding-init", "learned")
    assert not (tmp_path / "exp" / "codebooks.safetensors").exists()


def test_other_settings_in_the_same_folder_are_refused_by_name(corpus_dir, tmp_path):
    has_learnt(start(corpus_dir, tmp_path / "exp", "--num-epochs", "3"))
    with pytest.raises(ValueError) as error:
        start(corpus_dir, tmp_path / "exp", "--base-lr", "0.02", "--num-epochs", "2", "--log-interval", "7")
    assert "train.base_lr: 0.045 there, 0.02 now" in str(error.value)
    assert "train.num_epochs: 3 there, 2 now" in str(error.value)
    assert "log_interval" not in str(error.value)
    longer = ("--num-epochs", "5", "--log-interval", "7")
    experiment = start(corpus_dir, tmp_path / "exp", *longer)
    assert experiment.settings().train.num_epochs == 3
    experiment.note_settings(settings_of(corpus_dir, *longer))
    assert experiment.settings().train.num_epochs == 5


def test_other_pieces_in_the_same_folder_are_refused(corpus_dir, tmp_path):
    has_learnt(start(corpus_dir, tmp_path / "exp"))
    (tmp_path / "exp" / "bpe.model").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"differs from .*bpe\.model"):
        start(corpus_dir, tmp_path / "exp")


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("config.json", {"mine": 1}, r"config\.json was not written by a training: it has no 'system'"),
        ("env.json", {"mine": 1}, r"env\.json was not written by a training: it has no 'versions'"),
        ("lm.json", {}, "holds a language model, which this training would be mixed with"),
        ("extract-dev.json", {}, "holds features, which this training would be mixed with"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(corpus_dir, tmp_path, name, content, sentence):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{sentence}; give another --exp-dir"):
        start(corpus_dir, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert json.loads((tmp_path / name).read_text()) == content
