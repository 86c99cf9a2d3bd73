"""DAC against transformers' feature extractor and model on random weights."""

import pytest
import torch
from codec_checks import encode_whole, make_codec
from toy_codecs import dac
from toy_tokenizers import Toy

from icefall_discrete.tokenizers import load_tokenizer

TOY = Toy(dac)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("dac")
    dac(made)
    return str(made)


def test_codes_and_audio_equal_transformers(folder, speech):
    from transformers import DacFeatureExtractor, DacModel

    model = DacModel.from_pretrained(folder).eval()
    extractor = DacFeatureExtractor(sampling_rate=16000, hop_length=320)
    tokenizer = make_codec("dac", {"model": folder, "num_codebooks": 3})
    for samples in (speech[:3200], speech[:9601]):
        values = extractor(samples.numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
        with torch.no_grad():
            reference = model.encode(values, n_quantizers=3).audio_codes
            audio = model.decode(audio_codes=reference).audio_values
        codes = encode_whole(tokenizer, samples)
        assert torch.equal(codes, reference[0].t())
        assert len(codes) == -(-len(samples) // 320)
        assert torch.equal(tokenizer.decode(codes[None], torch.tensor([len(codes)])), audio)


def test_all_codebooks_and_their_vectors(folder, speech):
    whole = make_codec("dac", {"model": folder})
    first = make_codec("dac", {"model": folder, "num_codebooks": 1})
    assert whole.spec.codebook_sizes == (32,) * 4
    assert torch.equal(encode_whole(first, speech[:3200]), encode_whole(whole, speech[:3200])[:, :1])
    (book,) = first.codebooks()
    assert book.shape == (32, 4)
    torch.testing.assert_close(book.norm(dim=1), torch.ones(32))


@pytest.mark.parametrize("name, number", [("dac_16khz", 12), ("dac_24khz", 32), ("dac_44khz", 9)])
def test_presets(name, number):
    config = load_tokenizer(name).config
    assert (config.model, config.num_codebooks) == (f"descript/{name}", number)


def test_presets_of_lower_rates():
    configs = [load_tokenizer(f"dac_24khz_{rate}kbps").config for rate in ("1.5", "6")]
    assert [(config.model, config.num_codebooks) for config in configs] == [
        ("descript/dac_24khz", 2),
        ("descript/dac_24khz", 8),
    ]
