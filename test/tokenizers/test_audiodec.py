"""AudioDec against its authors' code on the same random weights: both kinds of autoencoder, and what is refused."""

import pytest
import torch
from codec_checks import assert_golden, encode_whole, make_codec
from toy_codecs import audiodec
from toy_tokenizers import Toy

TOY = Toy(audiodec)


@pytest.mark.parametrize("activated", [False, True])
def test_codes_and_audio_are_those_of_the_authors(activated, tmp_path, speech):
    tokenizer = make_codec("audiodec", audiodec(tmp_path, activated))
    assert_golden(tokenizer, "audiodec_activated" if activated else "audiodec", speech)
    assert (tokenizer.sample_rate_hz, tokenizer.spec.frame_rate_hz, tokenizer.spec.num_codebooks) == (24000, 80.0, 4)


def test_it_looks_at_the_past_only_and_fewer_codebooks_are_the_first(tmp_path, speech):
    settings = audiodec(tmp_path)
    tokenizer = make_codec("audiodec", settings)
    whole = encode_whole(tokenizer, speech[:6100])
    assert len(whole) == 21
    assert torch.equal(encode_whole(tokenizer, speech[:3000]), whole[:10])
    assert torch.equal(
        encode_whole(make_codec("audiodec", {**settings, "num_codebooks": 2}), speech[:6100]), whole[:, :2]
    )


def test_one_that_is_not_causal_is_refused(tmp_path):
    settings = audiodec(tmp_path)
    kept = torch.load(settings["model"], weights_only=True)
    weights = kept["model"]["generator"]
    kept["model"]["generator"] = {name: value for name, value in weights.items() if "pad_buffer" not in name}
    torch.save(kept, settings["model"])
    with pytest.raises(ValueError, match=r"is no causal AudioDec: it has no weight that ends in \.pad_buffer"):
        make_codec("audiodec", settings).spec  # noqa: B018
