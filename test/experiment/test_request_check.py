"""Whatever can be known to be wrong is told before an environment is made, with option or file and key."""

import json
import re
from pathlib import Path

import pytest
from planned_runs import OPTIONS, asked, planned

from icefall_discrete.base.feature_types import read_feature_settings
from icefall_discrete.experiment import machine, request_check
from icefall_discrete.experiment.plan import StageRange, check_folders
from icefall_discrete.experiment.stage_flags import (
    FLAGS_FILE,
    OF_ICEFALL,
    TOKENIZERS,
    StageFlags,
    check_feature_type,
    dashed,
)
from icefall_discrete.experiment.stages import (
    asr,
    classification,
    discrete_bert,
    hubert,
    perceptual,
    speech_lm,
    tts,
    unit_lm,
    wav2vec2,
    wav2vec_u,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A recipe's folder, the working folder; the machine has two cores and no GPU."""
    folder = tmp_path / "egs" / "toy" / "ASR"
    (folder / "conf" / "recipes").mkdir(parents=True)
    (folder / "conf" / "recipes" / "default.json").write_text(json.dumps({"train": {"num_epochs": 6}}))
    (folder / "phrases.txt").write_text("new york\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(request_check, "num_gpus", lambda: 0)
    monkeypatch.setattr(request_check, "num_cores", lambda: 2)
    return folder


@pytest.mark.parametrize(
    "flags, options, sentence",
    [
        ((("base-lr", "nan"),), {}, "--base-lr is 'nan', expected a number above 0"),
        ((("base-lr", "1e999"),), {}, "--base-lr is '1e999', expected a number above 0"),
        ((("base-lr", "1_0"),), {}, "--base-lr is '1_0', expected a number above 0"),
        ((), {"max_duration": "0"}, "--max-duration is '0', expected a number above 0"),
        ((), {"num_epochs": "٣"}, "--num-epochs is '٣', expected a whole number of at least 1"),
        ((), {"num_epochs": "3.5"}, "--num-epochs is '3.5', expected a whole number"),
        ((("avg", "99"),), {}, "--avg is 99, expected at most 6, the epochs that are trained"),
        ((("avg", "0"),), {}, "--avg is '0', expected a whole number of at least 1"),
        ((("epoch", "7"),), {}, "--epoch is 7, expected at most 6"),
        ((("epoch", "-4"),), {}, "--epoch is '-4', expected a whole number of at least 0"),
        ((), {"seed": "-1"}, "--seed is '-1', expected a whole number of at least 0 and at most 4294967295"),
        ((("train.seed", "-1"),), {}, "--train.seed is '-1', expected a whole number of at least 0"),
        ((), {"speed_factors": "a b"}, "--speed-factors is 'a b', expected numbers, separated by commas"),
        ((), {"speed_factors": "0"}, "--speed-factors is '0', expected numbers.*each at least 0.1 and at most 10"),
        ((), {"speed_factors": "100"}, "--speed-factors is '100', expected numbers"),
        ((), {"speed_factors": "1.0 1.0"}, "--speed-factors is '1.0 1.0', expected numbers.*none of them twice"),
        ((), {"speed_factors": ""}, "--speed-factors is empty"),
        ((), {"device": "potato"}, "--device is 'potato', expected cpu, cuda, cuda:N or auto"),
        ((), {"device": "cuda:9"}, "--device is cuda:9, but this machine has no GPU"),
        ((("train.device", "cuda"),), {}, "--train.device is cuda, but this machine has no GPU"),
        ((("fit.device", "potato"),), {}, "--fit.device is 'potato', expected cpu, cuda, cuda:N or auto"),
        ((), {"device": "cpu", "dtype": "float16"}, "--dtype float16 is for CUDA"),
        ((), {"vocab_size": "3"}, "--vocab-size: vocab_size is 3, expected at least 4"),
        ((("query-head-dim", "x"),), {}, "--query-head-dim is 'x', expected whole numbers, separated by commas"),
        ((("query-head-dim", "4,0"),), {}, "--query-head-dim is '4,0', expected whole numbers"),
        (
            (("num-heads", "four"),),
            {},
            "--num-heads is 'four', expected a whole number of at least 1 (for conformer, .*); or whole numbers",
        ),
        (
            (("num-heads", "4"), ("encoder", "conformer"), ("stride", "7")),
            {},
            "--stride is '7', expected one of 1, 2, 4",
        ),
        (
            (("num-heads", "4,4"), ("model-size", "tiny_conformer")),
            {},
            "--num-heads is '4,4', expected a whole number of at least 1, as model.encoder is conformer.",
        ),
        (
            (("stride", "4"), ("front-end", "espnet_conv1d")),
            {},
            "--stride is '4', expected one of 1, 2, 3, as model.front",
        ),
        ((("time-mask-ratio", "0"),), {}, "--time-mask-ratio is '0', expected a number above 0"),
        ((), {"lm_scale": "0.3"}, "--lm-scale is the weight of a language model, and none is asked for"),
        ((), {"lm_text": "phrases.txt"}, "--lm-text is text for a language model or a graph, and none is asked for"),
        ((), {"lm_text": "no.txt", "lm": "ngram"}, "--lm-text no.txt does not exist; paths are relative to the recipe"),
        ((("beam", "4"),), {}, "--beam cannot be used with modified_beam_search; it can with fast_beam_search"),
        ((("beam-size", "4"),), {"decoding_method": "greedy_search"}, "--beam-size cannot be used with greedy_search"),
        ((("hlg-scale", "0.5"),), {}, "--hlg-scale cannot be used with modified_beam_search; it can with 1best"),
        ((("context-score", "1"),), {"decoding_method": "greedy_search"}, "--context-score cannot be used with greedy"),
        ((("context-file", "none.txt"),), {}, "--context-file none.txt does not exist"),
        ((), {"languages": "en,en"}, "--languages has 'en' twice"),
        ((), {"languages": "en,,xx"}, "--languages has ''; known: en, xx"),
        ((), {"feature_type": "a/b.json"}, "--feature-type a/b.json does not exist"),
        ((), {"recipe": "nowhere.json"}, "--recipe nowhere.json does not exist"),
        ((("model-size", "tinny"),), {}, "--model-size: unknown model size 'tinny'; did you mean tiny? known: .*large"),
        ((), {"nj": "999"}, "--nj is 999, expected at most 32 with 2 processor cores"),
        ((), {"world_size": "64"}, "--world-size is 64, expected at most 32"),
        ((), {"data_dir": ""}, "--data-dir is empty"),
        ((), {"results_dir": "phrases.txt"}, "--results-dir phrases.txt cannot be a folder"),
        (
            (),
            {"exp_dir": "/proc/exp"},
            "--exp-dir /proc/exp does not exist and cannot be made: /proc cannot be written",
        ),
    ],
)
def test_options_and_flags(here, flags, options, sentence):
    with pytest.raises(ValueError) as error:
        planned(ROOT, here, flags, **options)
    for part in sentence.split(".*"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "recipe, sentence",
    [
        ({"bpe": {"vocab_size": "x"}}, "setting 'bpe.vocab_size' is 'x', expected a whole number of at least 0"),
        ({"bpe": {"vocab_size": 2}}, "vocab_size is 2, expected at least 4"),
        ({"filter": {"languages": 5}}, "setting 'filter.languages' is 5, expected a list of texts"),
        ({"filter": {"languages": ["yy"]}}, "filter.languages has 'yy'; known: en, xx"),
        ({"filter": {"languages": ["en", "en"]}}, "expected a list of texts, none of them twice"),
        ({"filter": "3"}, "section 'filter' is '3', expected an object of settings"),
        ({"augment": None}, "section 'augment' is null, expected an object of settings"),
        ({"train": {"num_epochs": "3"}}, "setting 'train.num_epochs' is '3', expected a whole number of at least 1"),
        ({"train": {"fractional_epochs": 1}}, "setting 'train.fractional_epochs' is 1, expected true or false"),
        ({"train": {"base_lr": True}}, "setting 'train.base_lr' is true, expected a number above 0"),
        ({"train": {"best_by": None}}, "setting 'train.best_by' is null, expected text"),
        ({"model": {"encoder": {"query_head_dim": "x"}}}, "setting 'model.encoder.query_head_dim' is 'x', expected a"),
        ({"model": {"query_head_dim": [1.5]}}, "setting 'model.query_head_dim' is [1.5], expected a list"),
        ({"model": {"encoder": {"kind": "zip"}}}, "setting 'model.encoder' is 'zip', expected one of"),
        ({"model": {"front_end": 3}}, "setting 'model.front_end' is 3, expected one of conv1d, conv2d"),
        ({"model": {"heads": {"transducer": {"joiner": 3}}}}, "unknown setting 'joiner' in section model.heads.transd"),
        ({"model": {"heads": 4}}, "setting 'model.heads' is a number, expected an object with settings"),
        ({"loss": {"rnnt_type": "modifid"}}, "expected one of regular, modified, constrained; did you mean modified?"),
        ({"average": {"avg": "x"}}, "setting 'average.avg' is 'x', expected a whole number of at least 1"),
        ({"decode": {"beam_size": True}}, "setting 'decode.beam_size' is true, expected a whole number of at least 1"),
        ({"filtr": {}}, "unknown section filtr; did you mean filter? known: model, "),
        ({"model_size": "tinny"}, "unknown model size 'tinny'; did you mean tiny? known: "),
        ({"model_size": 5}, "'model_size' is 5, expected text"),
        ({"description": 5}, "'description' is 5, expected text"),
        (
            {"when": [{"device": "cpu", "train": {"num_epochs": 0}}]},
            "setting 'train.num_epochs' is 0, expected",
        ),
        ({"when": [{"device": "cpu", "trian": {}}]}, "unknown key trian in 'when'; did you mean train? known: below_h"),
        ({"based_on": 5}, "based_on is 5; known: "),
        ({"based_on": "defualt"}, "based_on is 'defualt'; did you mean default? known: "),
    ],
)
def test_recipes(here, recipe, sentence):
    (here / "own.json").write_text(json.dumps({"train": {}, **recipe}))
    with pytest.raises(ValueError) as error:
        planned(ROOT, here, recipe="own.json")
    assert str(error.value).startswith("own.json") and sentence in str(error.value)


def test_the_file_is_named_in_which_the_mistake_stands(here):
    (here / "below.json").write_text(json.dumps({"train": {"num_epochs": -3}}))
    (here / "own.json").write_text(json.dumps({"based_on": "below", "loader": {"max_duration": 5.0}}))
    with pytest.raises(ValueError, match=r"^below.json: setting 'train.num_epochs' is -3"):
        planned(ROOT, here, recipe="own.json")


def test_an_epoch_that_is_there_can_be_asked_for(here):
    (here / "exp").mkdir()
    (here / "exp" / "epoch-9.pt").write_text("")
    assert planned(ROOT, here, (("epoch", "9"),), exp_dir="exp").stages


def test_processes_are_held_against_gpus_and_cores(here, monkeypatch):
    assert "so many processes share 2 processor cores" in planned(ROOT, here, world_size="4").notices[0]
    assert planned(ROOT, here, world_size="2").notices == ()
    when = [{"below_hours": 2, "device": "cpu", "train": {"world_size": 64}}]
    (here / "conf" / "recipes" / "many.json").write_text(json.dumps({"based_on": "small_corpus", "when": when}))
    with pytest.raises(ValueError, match=r"train.world_size of .*many\.json is 64, expected at most 32 with 2"):
        planned(ROOT, here, recipe="many")
    assert planned(ROOT, here, recipe="many", world_size="2").notices == ()
    monkeypatch.setattr(request_check, "num_gpus", lambda: 2)
    with pytest.raises(ValueError, match="--world-size is 4, but this machine has 2 GPU"):
        planned(ROOT, here, world_size="4")
    with pytest.raises(ValueError, match="--device is cuda:2, but this machine has 2 GPU"):
        planned(ROOT, here, device="cuda:2")


def test_visible_gpus_are_counted(monkeypatch):
    for text, number in (("", 0), ("-1", 0), ("0,2", 2), ("GPU-1", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
        assert machine.num_gpus() == number


def test_too_little_room_for_the_environment_is_told(here, monkeypatch):
    monkeypatch.setattr(request_check, "needed_gigabytes", lambda root, env: 2.0)
    monkeypatch.setattr(request_check, "free_gigabytes", lambda path: 0.5)
    with pytest.raises(ValueError, match=r"takes about 2 GB, and 0\.5 GB are free"):
        planned(ROOT, here)


def test_a_folder_that_cannot_be_written_to_is_told(here, monkeypatch):
    plan = planned(ROOT, here, exp_dir="exp")
    check_folders(plan, StageRange(1, 8))
    monkeypatch.setattr("icefall_discrete.experiment.plan.why_unwritable", lambda folder: "Read-only file system")
    with pytest.raises(
        ValueError, match=r"stage 6 .* writes to exp, and .* cannot be written to .Read-only file system"
    ):
        check_folders(plan, StageRange(6, 8))


def test_names_of_before_are_known_in_recipes(here):
    (here / "own.json").write_text(json.dumps({"model": {"front_end_stride": 2, "inner_ctc_stacks": []}}))
    assert planned(ROOT, here, recipe="own.json").stages


def test_a_range_is_its_owners():
    flags = StageFlags(ROOT / "local" / FLAGS_FILE, "asr", asr.SCRIPTS)
    with pytest.raises(ValueError, match=r"--x is '1\.5', expected a number of at least 0 and at most 1"):
        flags.check("train", "augment-prob", "1.5", "x")


@pytest.mark.parametrize(
    "said, sentence",
    [
        ({"tokenizer": "mfcc_kmeans", "num_cluster": 50}, r"setting 'num_cluster' of .*; did you mean num_clusters\?"),
        ({"tokenizer": "mfc_kmeans"}, r"unknown tokenizer 'mfc_kmeans'; did you mean mfcc_kmeans\? known: .*concat"),
        ({"num_clusters": 50}, "it names no 'tokenizer'; known: .*concat"),
        ([], "mine.json holds a list, expected an object with a 'tokenizer'"),
        ({"tokenizer": "unit_bpe", "base": "part", "deduplicate": True}, r"part\.json: unknown setting 'layr'"),
    ],
)
def test_settings_that_no_tokenizer_has(here, said, sentence):
    features = here / "conf" / "features"
    features.mkdir()
    (features / "part.json").write_text(json.dumps({"tokenizer": "whisper_kmeans", "layr": 3}))
    (features / "mine.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=sentence):
        planned(ROOT, here, feature_type="mine")


def test_the_settings_of_all_feature_types_are_known():
    listed = json.loads((ROOT / "local" / FLAGS_FILE).read_text())[TOKENIZERS]
    paths = [*(ROOT / "icefall_discrete" / "conf" / "features").glob("*.json")]
    paths += (ROOT / "egs").glob("*/*/conf/features/*.json")
    for path in paths:
        check_feature_type(listed, read_feature_settings(path), str(path))


def test_weights_that_nobody_knows(here):
    features = here / "conf" / "features"
    features.mkdir()
    (features / "base.json").write_text('{"tokenizer": "whisper_kmeans", "model": "weights:whisper_bse"}')
    (features / "units.json").write_text('{"tokenizer": "unit_bpe", "base": "base"}')
    for name in ("base", "units", "fbank+base"):
        with pytest.raises(ValueError, match=r"base\.json: unknown weights 'whisper_bse'; did you mean whisper_base\?"):
            planned(ROOT, here, feature_type=name)


@pytest.mark.parametrize(
    "stages, size, wrong, right, sentence",
    [
        (
            discrete_bert,
            "tiny",
            "fbank",
            "dmel",
            "system discrete_bert, which learns from codes, and feature type 'fbank'",
        ),
        (
            perceptual,
            "tiny_enhancer",
            "fbank",
            "speechtokenizer",
            "system perceptual, which learns from codes, .*such as --feature-type speechtokenizer",
        ),
        (
            wav2vec2,
            "tiny_wav2vec2",
            "mfcc_km500",
            "waveform",
            "made by tokenizer mfcc_kmeans; .*such as --feature-type waveform",
        ),
        (
            hubert,
            "tiny_wav2vec2",
            "fbank",
            "waveform",
            "learns from samples by front end waveform, and feature type 'fbank'",
        ),
        (
            hubert,
            "tiny",
            "waveform",
            "fbank",
            "learns from features by front end conv1d, and feature type 'waveform' .*such as --feature-type fbank",
        ),
    ],
)
def test_features_that_a_system_cannot_learn_from(here, stages, size, wrong, right, sentence):
    (here / "own.json").write_text(json.dumps({"system": stages.SYSTEM, "model_size": size}))
    with pytest.raises(ValueError, match=sentence):
        stages.plan(asked(ROOT, here, feature_type=wrong, recipe="own.json"))
    assert stages.plan(asked(ROOT, here, feature_type=right, recipe="own.json")).stages


def test_alignments_that_are_not_there_are_told_before_a_training(here):
    (here / "own.json").write_text(json.dumps({"system": "unit_lm", "model_size": "tiny"}))
    (here / "words.ctm").write_text("")
    with pytest.raises(ValueError, match=r"--alignments nowhere\.ctm does not exist; paths are relative"):
        unit_lm.plan(asked(ROOT, here, (("decode.alignments", "nowhere.ctm"),), feature_type="dmel", recipe="own.json"))
    flags = (("ranking.alignments", "words.ctm"),)
    assert unit_lm.plan(asked(ROOT, here, flags, feature_type="dmel", recipe="own.json")).stages


@pytest.mark.parametrize(
    "recipe, flags, sentence",
    [
        ({}, (("lora-r", "4"),), "model.adaptation.lora_r is 4, which is for weights of another training, and none"),
        ({}, (("init-modules", "encoder"),), "init.init_modules is encoder"),
        ({"train": {"first_batch_count": 1e5}}, (), "train.first_batch_count is 100000.0"),
        ({"loader": {"pseudo_share": 0.5}}, (), "loader.pseudo_share is 0.5, but nothing has pseudo-labels; give --t"),
    ],
)
def test_what_is_for_weights_or_labels_of_another_training_wants_them(here, recipe, flags, sentence):
    (here / "own.json").write_text(json.dumps({"train": {}, **recipe}))
    with pytest.raises(ValueError, match=re.escape(sentence)):
        planned(ROOT, here, flags, recipe="own.json")
    (here / "weights").mkdir()
    others = (("init-from", "weights"), *flags)
    if "loader" not in recipe:
        assert planned(ROOT, here, others, recipe="own.json").stages
    else:
        assert planned(ROOT, here, flags, recipe="own.json", stop_stage="5").stages


def test_what_stands_for_flags_of_icefall_is_there_and_they_are_not():
    stages = json.loads((ROOT / "local" / "flags.json").read_text())["asr"].values()
    known = {name for flags in stages for flag, place in flags.items() for name in (flag, *place.get("short", ()))}
    known |= {*map(dashed, re.findall(r"(?m)^([a-z_]+)=", (ROOT / "tools" / "recipe_options.sh").read_text()))}
    assert not known & OF_ICEFALL.keys()
    assert {flag for said in OF_ICEFALL.values() for flag in re.findall(r"--([a-z-]+)", said)} <= known


@pytest.mark.parametrize(
    "stages, recipe, least, absent",
    [
        (asr, {}, len(OF_ICEFALL), ()),
        (tts, {"system": "vocoder"}, 4, ("use-ctc", "bpe-model", "use-shallow-fusion", "tokens-ngram")),
        (classification, {"system": "classification"}, 4, ("use-ctc", "bpe-model", "use-shallow-fusion")),
        (unit_lm, {"system": "unit_lm"}, 4, ("use-ctc", "bpe-model", "use-shallow-fusion")),
        (speech_lm, {"system": "speech_lm"}, 4, ("use-transducer", "bpe-model", "use-shallow-fusion")),
        (wav2vec_u, {"system": "wav2vec_u"}, 1, ("use-fp16", "use-ctc", "bpe-model", "do-finetune")),
    ],
)
def test_what_stands_for_a_flag_of_icefall_is_known_to_the_recipe(here, stages, recipe, least, absent):
    (here / "own.json").write_text(json.dumps(recipe))

    def refused(flags, given):
        with pytest.raises(ValueError) as caught:
            stages.plan(asked(ROOT, here, flags, recipe="own.json", feature_type="mfcc_km500", **given))
        return str(caught.value)

    said = {name: refused(((name, "1"),), {}) for name in OF_ICEFALL}
    hints = {name: sentence for name, sentence in said.items() if "icefall's; here that is" in sentence}
    assert len(hints) >= least and not hints.keys() & set(absent)
    for flag in {flag for hint in hints.values() for flag in re.findall(r"--([a-z-]+)", hint.partition(";")[2])}:
        option = flag.replace("-", "_")
        wrong = ((), {option: "no such"}) if option in OPTIONS else (((flag, "no such"),), {})
        try:
            stages.plan(asked(ROOT, here, wrong[0], recipe="own.json", feature_type="mfcc_km500", **wrong[1]))
        except ValueError as error:
            assert not re.search("unknown option|leave it away", str(error)), flag
