"""A k-means a language: each is what k-means gives on that language alone; ids, views and units; what is refused."""

import json
import logging
import tracemalloc

import pytest
import torch
from safetensors.torch import load_file
from toy_tokenizers import AudioInLanguages, Toy, make_tokenizer
from toy_views import write_confs

from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.contract import audio_by_language
from icefall_discrete.tokenizers.quantizers import kmeans_by_language

SETTINGS = {"num_clusters": 12, "fit_memory_mib": 1, "num_full_passes": 5}
TOY = Toy(lambda folder: {"num_clusters": 8, "fit_memory_mib": 8})
NAME = "mfcc_kmeans_by_language"
STATE = "kmeans_by_language.safetensors"


@pytest.fixture(scope="module")
def audio(fit_audio):
    return AudioInLanguages(fit_audio)


def fitted(folder, audio, **settings):
    tokenizer = make_tokenizer(NAME, {**SETTINGS, **settings})
    tokenizer.fit(audio, folder, 3)
    return tokenizer


@pytest.fixture(scope="module")
def both(tmp_path_factory, audio):
    """A tokenizer with own ids, and one with the same ids for all."""
    folder = tmp_path_factory.mktemp("fitted")
    return fitted(folder / "own", audio), fitted(folder / "same", audio, own_ids=False)


def codes_of(tokenizer, samples, language=None):
    heard = tokenizer.in_language(language) if language else tokenizer
    return heard.encode(samples[None], torch.tensor([len(samples)]))[0][0]


@pytest.mark.parametrize("standardize", [False, True])
def test_each_language_has_the_codes_of_its_own_kmeans(tmp_path, audio, speech, standardize):
    tokenizer = fitted(tmp_path / "all", audio, standardize=standardize)
    books = tokenizer.codebooks()[0].split(12)
    for index, (language, part) in enumerate(audio.by_language().items()):
        alone = make_tokenizer("mfcc_kmeans", {**SETTINGS, "standardize": standardize})
        alone.fit(part, tmp_path / language, 3)
        assert torch.equal(books[index], alone.codebooks()[0])
        assert torch.equal(codes_of(tokenizer, speech, language), codes_of(alone, speech) + 12 * index)


def test_ids_are_own_or_the_same_for_all(both, speech):
    own, same = both
    assert (own.spec.codebook_sizes, same.spec.codebook_sizes) == ((24,), (12,))
    assert own.spec.provenance["first_ids"] == {"en": 0, "ru": 12}
    assert same.spec.provenance["first_ids"] == {"en": 0, "ru": 0}
    assert own.spec.provenance["kmeans_sha256"] == same.spec.provenance["kmeans_sha256"]
    assert len(own.codebooks()[0]) == 24 and same.codebooks() is None
    english, russian = codes_of(own, speech, "en"), codes_of(own, speech, "ru")
    assert english.max() < 12 <= russian.min()
    assert torch.equal(codes_of(same, speech, "en"), english)
    assert torch.equal(codes_of(same, speech, "ru") + 12, russian)
    assert own.in_language("ru").spec == own.spec


def test_another_tokenizer_reads_the_file(both, speech):
    own, _ = both
    reread = make_tokenizer(NAME, SETTINGS, own.state_dir)
    assert reread.is_fitted and [path.name for path in reread.state_files] == [STATE]
    reread.spec.require_same(own.spec, "a", "b")
    assert torch.equal(codes_of(reread, speech, "ru"), codes_of(own, speech, "ru"))


def test_same_seed_same_bytes_and_another_language_another_hash(tmp_path, both, audio):
    own, _ = both
    again = fitted(tmp_path / "again", audio)
    assert again.state_files[0].read_bytes() == own.state_files[0].read_bytes()
    less = AudioInLanguages(audio[:-1])  # one Russian piece less
    other = fitted(tmp_path / "other", less)
    assert set(own.spec.differences(other.spec)) == {"provenance.kmeans_sha256.ru"}


def test_audio_without_language_or_of_another_one_is_refused(both, speech):
    own, _ = both
    with pytest.raises(ValueError, match=r"'toy' has a k-means for each language \(en, ru\), and that of the audio is"):
        codes_of(own, speech)
    with pytest.raises(ValueError, match=r"'toy' has no k-means for language 'de', only for en, ru; fit it on audio"):
        own.in_language("de")
    with pytest.raises(ValueError, match=r"for each language \(en, ru\)"):
        own.in_language(None)


def test_audio_to_fit_on_must_say_its_language(tmp_path, fit_audio, audio):
    with pytest.raises(ValueError, match="toy learns from each language by itself, but this audio does not say"):
        fitted(tmp_path, fit_audio)
    with pytest.raises(ValueError, match="say which frames are in which"):
        make_tokenizer(NAME, SETTINGS).quantizer.fit([], tmp_path, 0)
    few = AudioInLanguages(audio[:2])
    with pytest.raises(ValueError, match=r"toy \(en\): 1 utterances gave 38 frames, but 50 clusters"):
        fitted(tmp_path, few, num_clusters=50)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_needs_no_language_is_the_same_in_all(fit_audio):
    fbank = load_tokenizer("fbank")
    assert not fbank.needs_language and fbank.in_language("xx") is fbank and fbank.in_language(None) is fbank
    assert list(fbank.heard_by(fit_audio)) == [(fbank, fit_audio)]


def test_a_killed_fit_leaves_nothing(tmp_path, audio, monkeypatch):
    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(kmeans_by_language, "write_tensors", die)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, audio)
    assert not list(tmp_path.iterdir())


def test_memory_is_bounded_by_the_setting(tmp_path):
    # 2500 s of audio a language give 125 000 frames of 39 values, 18 MiB; the sample may hold 1 MiB.
    class Long:
        def by_language(self):
            parts = {"en": 0, "ru": 1}
            return {
                key: ((torch.full((160000,), value), f"{index}") for index in range(250))
                for key, value in parts.items()
            }

        def __len__(self):
            return 500

        def __iter__(self):
            return iter(())

    def frames(samples):
        return torch.randn(len(samples) // 320, 39, generator=torch.Generator().manual_seed(int(samples[0])))

    tokenizer = make_tokenizer(NAME, {**SETTINGS, "num_breaths": 0})
    tokenizer.frames = frames
    tracemalloc.start()
    tokenizer.fit(Long(), tmp_path, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20
    assert tokenizer.is_fitted


def test_files_of_others_and_damaged_ones_are_refused(tmp_path, both, audio):
    own, _ = both
    with pytest.raises(ValueError, match=r"other settings .*own_ids: True against False.*rerun stage 2"):
        make_tokenizer(NAME, {**SETTINGS, "own_ids": False}, own.state_dir).spec  # noqa: B018
    fitted(tmp_path, audio)
    path = tmp_path / STATE
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match=r"cannot be read .*move it aside and rerun stage 2"):
        make_tokenizer(NAME, SETTINGS, tmp_path).spec  # noqa: B018
    tensors = load_file(own.state_files[0])
    assert {name.split(".")[0] for name in tensors} == {"en", "ru"}


@pytest.fixture
def conf(tmp_path):
    """Feature types of toy_views, one of a k-means a language, and what is made of that one."""
    folder = write_confs(tmp_path / "conf")
    values = {
        "spoken": {"tokenizer": "fbank_kmeans_by_language", "num_clusters": 6, "num_mel_bins": 20, "fit_memory_mib": 8},
        "spoken_units": {"tokenizer": "unit_bpe", "base": "spoken", "bpe_vocab_size": 20, "bpe_model_type": "bpe"},
    }
    for name, settings in values.items():
        (folder / f"{name}.json").write_text(json.dumps(settings))
    return folder


def test_views_and_units_of_it_take_the_language_too(tmp_path, conf, audio, speech, caplog):
    caplog.set_level(logging.WARNING)
    for name in ("spoken", "spoken+fast", "spoken_units"):
        tokenizer = load_tokenizer(name, [conf], tmp_path / name)
        assert tokenizer.needs_language
        tokenizer.fit(audio, tmp_path / name, seed=1)
        with pytest.raises(ValueError, match="for each language"):
            codes_of(tokenizer, speech)
        with pytest.raises(ValueError, match="no k-means for language 'de'"):
            tokenizer.in_language("de")
    base = load_tokenizer("spoken", [conf], tmp_path / "spoken")
    views = load_tokenizer("spoken+fast", [conf], tmp_path / "spoken+fast")
    units = load_tokenizer("spoken_units", [conf], tmp_path / "spoken_units")
    for language in ("en", "ru"):
        codes = codes_of(base, speech, language)
        stream = codes_of(views, speech, language)[::2, :1]  # at twice the rate
        assert len(stream) >= len(codes) - 1 and torch.equal(stream, codes[: len(stream)])
        encoded = units.in_language(language).encode_with_durations(speech[None], torch.tensor([len(speech)]))
        assert torch.equal(units.frames_of(encoded.frames[0], encoded.durations[0]), codes)


def test_resampled_audio_says_its_language_only_if_its_source_does(fit_audio, audio, conf):
    views = load_tokenizer("spoken+fast", [conf])
    assert list(audio_by_language(views._audio_for_fit(views.parts[0], audio), "x")) == ["en", "ru"]
    with pytest.raises(ValueError, match="spoken learns from each language"):
        audio_by_language(views._audio_for_fit(views.parts[0], fit_audio), "x")
