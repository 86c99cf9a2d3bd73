"""Language-Codec against its authors' code on the same random weights: six codebooks, and the way back to audio."""

import torch
from codec_checks import assert_golden, encode_whole, make_codec
from toy_codecs import languagecodec
from toy_tokenizers import Toy

from icefall_discrete.tokenizers.languagecodec import MaskedVq
from icefall_discrete.tokenizers.networks.residual_vq import nearest

TOY = Toy(languagecodec)


def test_codes_and_audio_are_those_of_the_authors(tmp_path, speech):
    tokenizer = make_codec("languagecodec", languagecodec(tmp_path))
    assert_golden(tokenizer, "languagecodec", speech)
    assert (tokenizer.sample_rate_hz, tokenizer.spec.frame_rate_hz, tokenizer.spec.num_codebooks) == (24000, 75.0, 6)
    fewer = make_codec("languagecodec", {**languagecodec(tmp_path), "num_codebooks": 4})
    assert torch.equal(encode_whole(fewer, speech), encode_whole(tokenizer, speech)[:, :4])


def test_three_codebooks_see_a_third_each():
    books = [torch.randn(9, 7, generator=torch.Generator().manual_seed(number)) for number in range(4)]
    states, vq = torch.randn(20, 7, generator=torch.Generator().manual_seed(9)), MaskedVq(books)
    codes = vq.encode(states, 4)
    for book, (begin, end) in enumerate([(0, 2), (2, 4), (4, 7)]):
        other = states.clone()
        other[:, :begin] += 5.0
        other[:, end:] += 5.0
        assert torch.equal(vq.encode(other, 3)[:, book], codes[:, book])
    left = states - vq.decode(codes[:, :3])
    torch.testing.assert_close(codes[:, 3], nearest(left, books[3]))
