"""What all codecs share: batches back to audio, bad codes, weights that cannot be had."""

import pytest
import torch
from codec_checks import codec_names, encode_whole, make_codec
from toy_codecs import soundstream

from icefall_discrete.tokenizers.networks.codec import pad_to_frames


@pytest.fixture
def codec(tmp_path):
    return make_codec("soundstream", soundstream(tmp_path))


def test_a_batch_is_decoded_as_each_alone(codec, speech):
    utterances = [speech[:8000], speech[9000:9400], speech[3000:20000]]
    audio = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True)
    codes, lens = codec.encode(audio, torch.tensor([len(samples) for samples in utterances]))
    decoded = codec.decode(codes, lens)
    assert decoded.shape == (3, 54 * 320) and decoded.dtype == torch.float32
    for row, length in enumerate(lens.tolist()):
        alone = codec.decode(codes[row : row + 1, :length], lens[row : row + 1])
        assert torch.equal(decoded[row, : length * 320], alone[0])
        assert (decoded[row, length * 320 :] == 0).all()


def test_audio_depends_on_the_codes(codec, speech):
    codes = encode_whole(codec, speech[:8000])[None]
    lens = torch.tensor([25])
    assert not torch.equal(codec.decode(codes, lens), codec.decode(codes.flip(1), lens))


@pytest.mark.parametrize("bad", [-1, 32])
def test_ids_outside_the_codebook_are_not_decoded(codec, bad):
    codes = torch.zeros(2, 5, 4, dtype=torch.int64)
    codes[1, 2, 3] = bad
    with pytest.raises(
        ValueError, match=r"row 1 has ids from -?\d+ to \d+ in its 5 frames, but toy has codebooks of 32"
    ):
        codec.decode(codes, torch.tensor([5, 5]))
    codec.decode(codes, torch.tensor([5, 2]))


def test_other_weights_are_another_provenance(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (make_codec("soundstream", soundstream(tmp_path / name)) for name in "ab")
    assert not first.spec.differences(second.spec)
    weights = torch.load(tmp_path / "b" / "best.pth", weights_only=True)
    weights["module.quantizer.vq.layers.0._codebook.embed"] += 1
    torch.save(weights, tmp_path / "b" / "best.pth")
    changed = make_codec("soundstream", {"model": str(tmp_path / "b" / "best.pth")})
    assert list(first.spec.differences(changed.spec)) == ["provenance.model_sha256"]


@pytest.mark.parametrize("name", codec_names())
def test_a_missing_path_is_one_sentence(name, tmp_path):
    path = str(tmp_path / "nothing here")
    with pytest.raises(
        FileNotFoundError, match=r"nothing here': this (file|folder) does not exist; correct `model`\.$"
    ):
        make_codec(name, {"model": path}).spec  # noqa: B018


NO_HUB = {
    name: rf"'{file}': this file does not exist; correct `model`\.$"
    for name, file in {
        "apcodec": "encoder_16k_4kbps",
        "audiodec": r"checkpoint-500000steps\.pkl",
        "languagecodec": r"languagecodec_paper\.ckpt",
    }.items()
}


@pytest.mark.parametrize("name", codec_names())
def test_weights_that_cannot_be_had_are_one_sentence(name, monkeypatch):
    import huggingface_hub

    def refuse(*arguments, **options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    from_the_hub = r"nor can it be had from the hub \(ConnectionError: no route\); download"
    with pytest.raises(FileNotFoundError, match=NO_HUB.get(name, from_the_hub)):
        make_codec(name, {}).spec  # noqa: B018


@pytest.mark.parametrize("size, frames", [(1, 1), (320, 1), (321, 2)])
def test_pad_to_frames(size, frames):
    padded = pad_to_frames(torch.ones(size), 320)
    assert len(padded) == 320 * frames and padded.sum() == size
