import pytest
import torch
from toy_models import CODES, CONFIG
from toy_settings import changed

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.systems.asr.transducer import build_transducer

FBANK = FeatureSpec("toy_fbank", "continuous", 16000, 100.0, 0, (), 20)


def model_of(config=CONFIG, spec=CODES, codebooks=None):
    torch.manual_seed(0)
    return build_transducer(config, spec, 15, AugmentConfig(), codebooks).eval()


def padded_codes(lens):
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 10, (len(lens), max(lens), 2), generator=generator)
    for row, length in zip(codes, lens):
        row[length:] = torch.tensor(CODES.pad_ids)
    return codes


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"front_end_stride": 4},
        {"front_end": "conv2d"},
        {"front_end": "conv2d", "input_frame_rate_hz": 100.0},
        {"input_frame_rate_hz": 75.0, "output_downsampling_factor": 1},
        {"embedding_dim": 0, "codebook_dim": 9, "codebook_combination": "sum"},
    ],
)
def test_shapes_and_lengths_are_those_that_the_filter_counts_with(change):
    config = changed(CONFIG, **change)
    model = model_of(config)
    lens = torch.tensor([61, 38, 29])
    with torch.no_grad():
        encoded = model.encode(padded_codes(lens.tolist()), lens)
    assert encoded.lens.tolist() == [config.num_encoder_frames(length, CODES) for length in lens.tolist()]
    assert encoded.encoder_out.shape == (3, int(encoded.lens.max()), 48)
    ((inner, inner_lens),) = encoded.inner
    assert inner.shape == (3, int(inner_lens.max()), 32)
    assert model.ctc_output(encoded.encoder_out).shape[2] == 15
    assert model.inner_ctc_outputs[0](inner).shape[2] == 15
    lm = model.predictor(torch.zeros(3, 4, dtype=torch.int64))
    joint = model.joiner(encoded.encoder_out.unsqueeze(2), lm.unsqueeze(1))
    assert joint.shape == (3, encoded.encoder_out.shape[1], 4, 15)


def test_an_utterance_in_a_padded_batch_is_encoded_as_if_alone():
    lens = [64, 40, 24]  # multiples of all downsampling together: no group of frames is completed by padding
    model = model_of()
    codes = padded_codes(lens)
    with torch.no_grad():
        batch = model.encode(codes, torch.tensor(lens))
        for row, length in enumerate(lens):
            alone = model.encode(codes[row : row + 1, :length], torch.tensor([length]))
            size = int(alone.lens)
            torch.testing.assert_close(batch.encoder_out[row, :size], alone.encoder_out[0], atol=1e-4, rtol=0)


def test_continuous_features_use_the_same_encoder():
    model = model_of(changed(CONFIG, embedding_dim=0), FBANK)
    assert model.input_embedding.out_dim == 20
    with torch.no_grad():
        encoded = model.encode(torch.randn(2, 40, 20), torch.tensor([40, 32]))
    assert encoded.lens.tolist() == [10, 8]


def test_where_the_vectors_of_codes_come_from():
    books = [torch.randn(size, 16) for size in CODES.codebook_sizes]
    learned = model_of(changed(CONFIG, embedding_init="learned"), codebooks=books)
    given = model_of(changed(CONFIG, embedding_init="auto"), codebooks=books)
    without = model_of(changed(CONFIG, embedding_init="auto"))
    assert torch.equal(learned.input_embedding.table, without.input_embedding.table)
    torch.testing.assert_close(given.input_embedding.table[:10].mean(0), torch.zeros(16), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match=r"'toy' has no codebooks\.safetensors"):
        model_of(changed(CONFIG, embedding_init="codebook"))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="embedding_frozen"):
        changed(CONFIG, embedding_frozen=True)
    with pytest.raises(ValueError, match="names stack 2, but stacks are 0 to 1"):
        changed(CONFIG, inner_ctc_stacks=(2,))


def test_the_epoch_reaches_the_augmentation():
    model = model_of()
    model.set_epoch(5)
    assert model.augment.epoch == 5
