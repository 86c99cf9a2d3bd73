"""Model folders: they transcribe as the experiment does, hold no pickle, and are refused where they are not whole."""

import json
import shutil

import pytest
import torch
from toy_speech import RECIPE as VOCODER
from toy_speech import make_experiment
from toy_texts import RECIPE as TEXTS
from toy_texts import SPEC as UNITS
from toy_texts import write_texts

from icefall_discrete.base.checkpoint import load_checkpoint, save_checkpoint
from icefall_discrete.base.tensor_files import read_tensors, write_tensors
from icefall_discrete.experiment.checkpoint_choice import load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.initial_weights import begin_with
from icefall_discrete.experiment.model_list import CONTENTS, DATA_SUFFIXES, VERSION
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.export.command import load_recogniser
from icefall_discrete.inference.command import main as transcribe
from icefall_discrete.inference.hub import fetched, model_dir, upload
from icefall_discrete.inference.model_folder import CARD
from icefall_discrete.inference.pull_command import main as pull
from icefall_discrete.inference.push_command import main as push
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.inference.text_speaker import TextSpeaker
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.training_settings import InitialConfig

NAME = "someone/toy-asr"


@pytest.fixture(scope="module")
def exp_dir(work, tmp_path_factory):
    """A copy of the toy experiment, with results."""
    folder = tmp_path_factory.mktemp("handed on") / "exp"
    shutil.copytree(work / "exp", folder)
    scored = {"num_utterances": 6, "wer": {"rate": 12.345}, "cer": {"rate": 3.2}, "languages": {"en": {}}}
    earlier = folder.parent / "of mine" / "earlier"
    config = json.loads((folder / "config.json").read_text())
    config["init"] = {**config.get("init", {}), "init_from": str(earlier)}
    (folder / "config.json").write_text(json.dumps(config))
    command = f"egs/toy/ASR/run.sh --recipe default --init-from '{earlier}/' --text 's3://here/a.txt,{earlier}.txt'"
    result = {"command": command, "sets": {"test": scored}}
    (folder / "result.json").write_text(json.dumps({**result, "decoding": {"method": "greedy_search"}}))
    (folder / "env.json").write_text(json.dumps({"git": "abc123", "command": f"{folder}/train.py", "cpu": "mine"}))
    return folder


@pytest.fixture(scope="module")
def published(exp_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "toy-asr"
    push("push", ["--exp-dir", str(exp_dir), "--license", "cc0-1.0", "--folder", str(folder), "--name", NAME])
    return folder


@pytest.fixture
def cache(published, tmp_path):
    """A cache of huggingface_hub that holds the model, as its library lays it out."""
    place = tmp_path / "cache" / "models--someone--toy-asr"
    commit = "0123456789" * 4
    shutil.copytree(published, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return tmp_path / "cache"


def texts(folder, files):
    return [found.text for found in Transcriber(folder).transcribe([str(file) for file in files])]


def test_a_model_folder_says_what_the_experiment_says(exp_dir, published, files, tmp_path, capsys):
    said = texts(exp_dir, files[:3])
    assert any(said) and texts(published, files[:3]) == said
    pull("pull", [str(published), "--to", str(tmp_path / "again")])
    transcribe("transcribe", [str(files[0]), "--model", str(tmp_path / "again")])
    assert capsys.readouterr().out.strip() == said[0]
    weights = read_tensors(published / "model.safetensors", "").tensors
    trained = load_checkpoint(exp_dir / "epoch-1.pt")["model"]
    assert all(torch.equal(weights[name], value) for name, value in trained.items() if name in weights)


def test_it_holds_data_alone_and_nothing_of_this_machine(exp_dir, published):
    files = [path for path in published.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= set(DATA_SUFFIXES)
    for path in files:
        assert str(exp_dir.parent).encode() not in path.read_bytes(), path
    assert json.loads((published / "env.json").read_text()) == {"git": "abc123"}
    card = (published / CARD).read_text()
    assert "\negs/toy/ASR/run.sh --recipe default --init-from earlier --text s3://here/a.txt,earlier.txt\n" in card
    assert "It began with weights of `earlier`, whose licence" in card
    assert card.startswith("---\nlicense: cc0-1.0\nlanguage:\n- en\n") and "trained on the corpus toy" in card
    assert "| test | 6 | 12.35 | 3.20 |" in card and "Commit abc123" in card and f"--model {NAME}" in card


def test_the_cache_of_a_hub(cache, published):
    folder = fetched(NAME, cache_dir=cache, offline=True)
    assert (folder / CONTENTS).read_bytes() == (published / CONTENTS).read_bytes()
    assert model_dir(NAME, None, cache, True) == folder
    with pytest.raises(ValueError, match=r"cannot get the model someone/other on this machine: .*Check its name"):
        fetched("someone/other", cache_dir=cache, offline=True)
    with pytest.raises(ValueError, match=r"^'\.\./toy' is no model on a hub, expected ORG/NAME"):
        fetched("../toy", cache_dir=cache, offline=True)


class Away(Exception):
    """As libraries for the network have them: of no kind that Python knows."""


def test_what_is_sent(published, monkeypatch):
    import huggingface_hub

    sent = []

    class Api:
        def create_repo(self, name, private, exist_ok):
            sent.append((name, private))

        def upload_folder(self, folder_path, repo_id, allow_patterns):
            sent.append((folder_path, repo_id))
            return "an address"

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert upload(published, NAME, True) == "an address"
    assert sent == [(NAME, True), (str(published), NAME)]
    monkeypatch.setattr(Api, "create_repo", lambda *_, **__: (_ for _ in ()).throw(Away("no token")))
    with pytest.raises(ValueError, match=r"cannot send .* to someone/toy-asr: no token. Log in with"):
        upload(published, NAME, True)


def damage(folder, change):
    contents = json.loads((folder / CONTENTS).read_text())
    change(folder, contents)
    (folder / CONTENTS).write_text(json.dumps(contents))


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda folder, contents: contents.update(version=VERSION + 1), "is a model of version 2, known is 1"),
        (lambda folder, contents: contents["files"].update({"../x.json": "0"}), "it leaves its folder"),
        (
            lambda folder, contents: contents["files"].update({"x.pt": "0"}),
            "lists 'x.pt', expected files of data alone",
        ),
        (lambda folder, contents: (folder / "config.json").unlink(), "config.json is missing, though"),
        (lambda folder, contents: (folder / "spec.json").write_text("{}"), "spec.json is another file than"),
        (lambda folder, contents: contents.pop("files"), "has no 'files'"),
        (lambda folder, contents: contents.update(format=1), "is an exported model; run it by icefall-discrete onnx"),
    ],
)
def test_what_is_not_whole_is_refused(published, tmp_path, change, sentence):
    broken = tmp_path / "broken"
    shutil.copytree(published, broken)
    damage(broken, change)
    with pytest.raises(ValueError, match=sentence):
        pull("pull", [str(broken), "--to", str(tmp_path / "to")])
    assert not (tmp_path / "to").exists()


def test_a_tokenizer_that_only_this_machine_has_is_not_pushed(exp_dir, tmp_path):
    copy = tmp_path / "exp"
    shutil.copytree(exp_dir, copy)
    config = next((copy / "tokenizer").glob("*.json"))
    config.write_text(json.dumps({**json.loads(config.read_text()), "model": f"{tmp_path}/network"}))
    flags = ["--exp-dir", str(copy), "--license", "other", "--folder", str(tmp_path / "to")]
    with pytest.raises(ValueError, match=r"names .*/network, a place of this machine"):
        push("push", flags)
    assert not (tmp_path / "to").exists()


def test_one_of_two_is_asked_for(exp_dir, published, files):
    with pytest.raises(ValueError, match="give either --exp-dir, a trained experiment, or --model"):
        transcribe("transcribe", [str(files[0])])
    with pytest.raises(ValueError, match="give either --repo ORG/NAME, or --folder"):
        push("push", ["--exp-dir", str(exp_dir), "--license", "mit"])


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--license", "mit\nextra: x"], r"the license is 'mit\\nextra: x', expected an identifier as hubs know it"),
        (["--license", "mit", "--name", "toy`\n# x"], r"is no name of a model, expected letters, digits and"),
    ],
)
def test_what_would_change_the_card_is_refused(exp_dir, tmp_path, flags, sentence):
    with pytest.raises(ValueError, match=sentence):
        push("push", ["--exp-dir", str(exp_dir), "--folder", str(tmp_path / "to"), *flags])
    assert not (tmp_path / "to").exists()


def test_weights_that_say_nothing_are_not_pushed(exp_dir, tmp_path):
    shutil.copytree(exp_dir, tmp_path / "exp")
    state = load_checkpoint(exp_dir / "epoch-1.pt")
    next(value for value in state["model"].values() if value.is_floating_point()).view(-1)[0] = float("nan")
    save_checkpoint(tmp_path / "exp" / "epoch-1.pt", state)
    with pytest.raises(ValueError, match="are NaN or infinite, so that the network says nothing"):
        push("push", ["--exp-dir", str(tmp_path / "exp"), "--license", "mit", "--folder", str(tmp_path / "to")])
    assert not (tmp_path / "to").exists()


def handed_on(folder, to):
    """What push makes of an experiment, and pull of that."""
    push("push", ["--exp-dir", str(folder), "--license", "mit", "--folder", str(to / "pushed")])
    pull("pull", [str(to / "pushed"), "--to", str(to / "pulled")])
    return to / "pulled"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Toy texts, and experiments of units of them: each of a system of its own."""
    folder = write_texts(tmp_path_factory.mktemp("spoken"), num_train=4)
    layers = {"dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 24}
    small = {"input": {"embedding_dim": 16}, "encoder": {"kind": "transformer", **layers}}
    recipes = {
        "vocoder": VOCODER,
        "tts": TEXTS,
        "unit_lm": {"model": {"decoder": layers}},
        "speech_lm": {"model": {"decoder": layers}},
        "classification": {"model": small, "target": {"fact": "speaker"}},
        "enhancement": {"model": {**small, "front_end": "identity"}, "target": {"sources": ["clean"]}},
        "perceptual": {"model": {**small, "front_end": "identity"}},
        "discrete_bert": {"model": small},
    }
    for system, recipe in recipes.items():
        make_experiment(folder / system, UNITS, recipe={"system": system, **recipe})
    return folder


def test_every_system_is_handed_on(spoken, tmp_path):
    """Its weights and what it learnt come along, and a card that says how it is used."""
    for folder in sorted(path.parent for path in spoken.glob("*/config.json")):
        there, before = Experiment(handed_on(folder, tmp_path / folder.name)), Experiment(folder)
        cases = [(one, one.build_model()) for one in (there, before)]
        for one, network in cases:
            load_into(network, resolve_choice(kept_settings(one.exp_dir)[0], one.exp_dir), one.exp_dir)
        for name, value in cases[1][1].state_dict().items():
            assert torch.equal(cases[0][1].state_dict()[name], value), (folder, name)
        assert there.targets().means_the_same(before.targets())
        card = (there.exp_dir / CARD).read_text()
        assert "icefall-discrete pull pushed --to model" in card
        assert "--exp-dir" in card or "--init-from model" in card


def test_a_pulled_vocoder_says_what_pulled_texts_tell(spoken, tmp_path):
    said = [
        TextSpeaker(texts, Speaker(vocoder)).say("abc de", "anna", "en")
        for vocoder, texts in (
            (spoken / "vocoder", spoken / "tts"),
            (handed_on(spoken / "vocoder", tmp_path / "V"), handed_on(spoken / "tts", tmp_path / "T")),
        )
    ]
    assert torch.equal(*said)


def test_a_folder_that_is_not_whole_is_refused_by_whatever_takes_it(spoken, published, tmp_path):
    """Also where it is given as an experiment: to vocoders, exports, further trainings."""
    vocoder = handed_on(spoken / "vocoder", tmp_path)
    with open(vocoder / "model.safetensors", "r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\0\0\0?")  # a number that a network could have
    with pytest.raises(ValueError, match=r"model\.safetensors is another file than model\.json lists; fetch"):
        Speaker(vocoder)
    recogniser = tmp_path / "asr"
    shutil.copytree(published, recogniser)
    (recogniser / "recipe.json").write_text("{}")
    config = InitialConfig(str(recogniser))
    for begin in (
        lambda: load_recogniser(recogniser, resolve_choice(kept_settings(recogniser)[0], recogniser)),
        lambda: begin_with(Experiment(published).build_model(), config, Experiment(published).spec(), None),
        lambda: push("push", ["--exp-dir", str(recogniser), "--license", "mit", "--folder", str(tmp_path / "to")]),
    ):
        with pytest.raises(ValueError, match=r"recipe\.json is another file than model\.json lists; fetch"):
            begin()


def test_recordings_of_speakers_stay_here(spoken, tmp_path):
    shutil.copytree(spoken / "vocoder", tmp_path / "exp")
    write_tensors(tmp_path / "exp" / "prompts.safetensors", {"0": torch.zeros(3, dtype=torch.int16)})
    with pytest.raises(
        ValueError, match=r"prompts\.safetensors holds recordings of speakers, and model folders hand on"
    ):
        handed_on(tmp_path / "exp", tmp_path)
    assert not (tmp_path / "pushed").exists()
