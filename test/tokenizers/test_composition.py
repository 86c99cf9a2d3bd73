"""Tokenizers are composed by name; a new one, or a new frame source, is one file and one test, found by listing."""

import dataclasses
import functools
import importlib
import json
import sys
import textwrap

import numpy as np
import pytest
import test_contract
import torch
import toy_tokenizers
from toy_corpus import RATE, make_cuts
from toy_tokenizers import make_tokenizer, make_toy

from icefall_discrete import tokenizers
from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base.settings import setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.extraction.extract import extract
from icefall_discrete.tokenizers import find_tokenizer, frames, load_tokenizer, quantizers, tokenizer_names
from icefall_discrete.tokenizers.composed.quantized import QuantizedConfig

NEW_TOKENIZER = '''
    """How often the sign changes in 20 ms."""

    import dataclasses

    import torch

    from icefall_discrete.base.settings import setting
    from icefall_discrete.base.spec import FeatureSpec
    from icefall_discrete.tokenizers.contract import SpeechTokenizer


    @dataclasses.dataclass(frozen=True)
    class SignChangesConfig:
        """How often the sign changes."""

        most: int = setting(99, "The largest code.")


    class SignChangesTokenizer(SpeechTokenizer):
        """Codes (T, 1), T = S // 320."""

        Config = SignChangesConfig
        min_samples = 320

        @property
        def spec(self):
            return FeatureSpec(
                self.name, "codes", 16000, 50.0, 1, (self.config.most + 1,), 0,
                provenance={"tokenizer": self.tokenizer_name, **self._settings()}, made_with=self._made_with(),
            )

        def _encode_one(self, samples):
            frames = samples[: len(samples) // 320 * 320].view(-1, 320) >= 0
            return (frames[:, 1:] != frames[:, :-1]).sum(dim=1, keepdim=True).clamp(max=self.config.most)
'''
NEW_SOURCE = '''
    """Energies of the four quarters of 20 ms."""

    import dataclasses

    from icefall_discrete.base.settings import setting
    from icefall_discrete.tokenizers.frames import FrameSource


    @dataclasses.dataclass(frozen=True)
    class EnergiesSettings:
        """Energies."""

        offset: float = setting(1e-4, "Added before the logarithm.")


    class EnergiesFrames(FrameSource):
        """Frames (T, 4), T = S // 320."""

        Config = EnergiesSettings
        frame_rate_hz = 50.0
        min_samples = 320
        dim = 4

        def frames(self, samples):
            quarters = samples[: len(samples) // 320 * 320].view(-1, 4, 80)
            return (quarters.square().mean(dim=2) + self.config.offset).log()
'''
NEW_TEST = "from toy_tokenizers import Toy\n\nTOY = Toy(lambda folder: {})\n"


@pytest.fixture(scope="module")
def new_files(tmp_path_factory):
    """A folder with a new tokenizer and a new source, each with its test module, and nothing else done for them."""
    folder = tmp_path_factory.mktemp("new")
    for name in ("tokenizers", "frames", "test"):
        (folder / name).mkdir()
    (folder / "tokenizers" / "sign_changes.py").write_text(textwrap.dedent(NEW_TOKENIZER))
    (folder / "frames" / "energies.py").write_text(textwrap.dedent(NEW_SOURCE))
    for name in ("sign_changes", "energies"):
        (folder / "test" / f"test_{name}.py").write_text(NEW_TEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizers, "__path__", [*tokenizers.__path__, str(folder / "tokenizers")])
        patch.setattr(frames, "__path__", [*frames.__path__, str(folder / "frames")])
        patch.setattr(toy_tokenizers, "TEST_DIRS", [*toy_tokenizers.TEST_DIRS, folder / "test"])
        importlib.invalidate_caches()
        yield
    for module in (f"{tokenizers.__name__}.sign_changes", f"{frames.__name__}.energies"):
        sys.modules.pop(module, None)


@pytest.fixture(scope="module", params=["sign_changes", "energies", "energies_kmeans"])
def new(request, new_files, tmp_path_factory, fit_audio):
    return make_toy(request.param, tmp_path_factory.mktemp(request.param), fit_audio)


def test_a_new_tokenizer_is_listed(new):
    assert new.tokenizer_name in tokenizer_names()


def test_a_new_tokenizer_is_held_to_the_contract(new, speech, fit_audio, tmp_path):
    test_contract.test_padded_batch_equals_single_bit_for_bit(new, speech)
    test_contract.test_output_keeps_the_promise_of_the_spec(new, speech)
    test_contract.test_codebooks_fit_the_spec(new)
    test_contract.test_spec_survives_its_file(new, tmp_path)
    test_contract.test_frame_counts_around_hop_boundaries(new, speech)
    test_contract.test_digital_silence_is_encoded(new)
    test_contract.test_batches_of_the_wrong_type_are_refused(new, speech)
    test_contract.test_an_unfitted_tokenizer_names_the_stage(new, tmp_path / "state", speech, fit_audio)


@pytest.mark.parametrize("tokenizer", ["sign_changes", "energies", "energies_kmeans"])
def test_a_new_tokenizer_is_found_by_a_json_file_and_extracts(new_files, tokenizer, tmp_path, fit_audio):
    settings = {"num_clusters": 4, "fit_memory_mib": 8} if tokenizer.endswith("_kmeans") else {}
    (tmp_path / "mine.json").write_text(json.dumps({"tokenizer": tokenizer, **settings}))
    make = functools.partial(load_tokenizer, "mine", [tmp_path], tmp_path / "features")
    if make().needs_fit:
        make().fit(fit_audio, tmp_path / "features", seed=0)
    cuts = make_cuts(tmp_path / "audio", num_cuts=3)
    extract(cuts, make, tmp_path / "features", "train")
    spec = FeatureSpec.read(tmp_path / "features" / "spec.json")
    assert (spec.name, spec.provenance["tokenizer"]) == ("mine", tokenizer)
    for cut, extracted in zip(cuts, load_cuts(tmp_path / "features" / "train.jsonl.gz")):
        samples = load_samples(cut, RATE)
        expected = make().encode(samples[None], torch.tensor([len(samples)]))[0][0]
        np.testing.assert_array_equal(load_frames(extracted, spec), expected.numpy())


def test_every_source_is_a_tokenizer_alone_and_with_every_quantizer():
    names = set(tokenizer_names())
    sources, methods = frames.frame_source_modules(), quantizers.quantizer_modules()
    assert {"cpc", "fbank", "mfcc", "ssl", "wav2vec", "whisper"} <= set(sources) and "kmeans" in methods
    assert {*sources, *(f"{source}_{method}" for source in sources for method in methods)} <= names
    assert not {"contract", "kmeans"} & names


# Defaults of the tokenizers as they have always been: what a JSON file leaves out means the same for ever.
DEFAULTS = {
    "cpc_kmeans": {"model": "cpc_big_ll6kh_top_ctc.pt", "layer": 2, "num_clusters": 100},
    "fbank": {"num_mel_bins": 80, "frame_shift_sec": 0.01},
    "fbank_kmeans": {"num_mel_bins": 80, "frame_shift_sec": 0.02, "num_clusters": 500},
    "mfcc_kmeans": {"num_ceps": 13, "frame_shift_sec": 0.02, "num_clusters": 500},
    "ssl_kmeans": {"model": "facebook/hubert-base-ls960", "layer": 9, "num_clusters": 2000},
    "wav2vec_kmeans": {"model": "wav2vec_large.pt", "output": "context", "num_clusters": 500},
    "whisper_kmeans": {"layer": 0, "pad_sec": 1.0, "num_threads": 1, "num_clusters": 500, "standardize": False},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_stay(name):
    saved = make_tokenizer(name, {}).settings_to_save()
    assert {key: saved[key] for key in DEFAULTS[name]} == DEFAULTS[name]
    if name.endswith("_kmeans"):
        assert list(saved)[:2] == ["num_clusters", "standardize"], "saved tokenizers would be written anew"


def test_provenance_stays(fit_audio, tmp_path):
    """What spec.json of data that was extracted long ago says; a comparison with it must find no difference."""
    fbank = {"tokenizer": "fbank", "num_mel_bins": 80, "frame_shift_sec": 0.01, "normalisation": "none"}
    assert make_tokenizer("fbank", {}).spec.provenance == fbank
    tokenizer = make_tokenizer("fbank_kmeans", {"num_clusters": 4, "fit_memory_mib": 8})
    tokenizer.fit(fit_audio, tmp_path, seed=0)
    provenance = dict(tokenizer.spec.provenance)
    assert len(provenance.pop("kmeans_sha256")) == 64
    assert provenance == {
        "tokenizer": "fbank_kmeans",
        "num_clusters": 4,
        "standardize": False,
        "num_mel_bins": 80,
        "frame_shift_sec": 0.02,
    }


def test_mistakes_name_the_tokenizer_and_what_it_knows():
    with pytest.raises(ValueError, match=r"unknown tokenizer 'fbank_kmean'; .*known: .*fbank_kmeans"):
        find_tokenizer("fbank_kmean")
    with pytest.raises(ValueError, match=r"unknown setting num_mels for fbank_kmeans; known settings: .*num_clusters"):
        find_tokenizer("fbank_kmeans").read({"num_mels": 4}, "mine.json")
    with pytest.raises(ValueError, match=r"mine\.json: setting 'num_clusters' is '4'"):
        find_tokenizer("fbank_kmeans").read({"num_clusters": "4"}, "mine.json")


def test_a_setting_of_two_owners_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Both:
        num_clusters: int = setting(4, "Means two things.")

    class Source(frames.find_frame_source("fbank")):
        Config = Both

    with pytest.raises(ValueError, match="mine and kmeans both have a setting num_clusters"):
        QuantizedConfig.read(("mine", Source), ("kmeans", quantizers.find_quantizer("kmeans")), {}, "mine.json")
