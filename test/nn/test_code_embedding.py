import pytest
import torch

from icefall_discrete.base.rate_matching import match_rate, matched_lens, rate_ratio
from icefall_discrete.data.augment import AugmentConfig
from icefall_discrete.nn.code_embedding import CodeEmbedding, EmbeddingAugment, FeatureNormalizer, standardized


def some_codes(sizes, num_frames=7):
    generator = torch.Generator().manual_seed(1)
    columns = [torch.randint(0, size + 1, (3, num_frames), generator=generator) for size in sizes]
    return torch.stack(columns, dim=2)


@pytest.mark.parametrize("num_codebooks", [1, 2, 8, 80])
@pytest.mark.parametrize("combination", ["concat", "sum"])
def test_each_codebook_reads_its_own_rows_of_the_one_table(num_codebooks, combination):
    torch.manual_seed(0)
    sizes = [5 + k % 3 for k in range(num_codebooks)]
    embedding = CodeEmbedding(sizes, embedding_dim=6, codebook_dim=4, combination=combination)
    codes = some_codes(sizes)
    before = codes.clone()
    vectors = embedding(codes)
    assert vectors.shape == (3, 7, 6)
    assert torch.equal(codes, before)

    tables, start = [], 0
    for size in sizes:
        own = embedding.table[start : start + size]
        tables.append(torch.cat([own, torch.zeros(1, 4)]))
        start += size
    parts = [table[codes[:, :, k]] for k, table in enumerate(tables)]
    combined = torch.cat(parts, dim=2) if combination == "concat" else torch.stack(parts).sum(dim=0)
    torch.testing.assert_close(vectors, combined @ embedding.projection.weight.T)


@pytest.mark.parametrize("sizes", [[9], [9, 3], [4] * 8, [16] * 80])
def test_padding_gives_zeros_and_its_row_gets_no_gradient(sizes):
    embedding = CodeEmbedding(sizes, embedding_dim=5, codebook_dim=2)
    codes = some_codes(sizes)
    codes[:, 4:] = torch.tensor(sizes)
    vectors = embedding(codes)
    assert torch.equal(vectors[:, 4:], torch.zeros(3, 3, 5))
    vectors.square().sum().backward()
    assert torch.equal(embedding.table.grad[-1], torch.zeros(2))
    assert embedding.table.grad[:-1].abs().sum() > 0


def test_codebooks_set_the_vectors_standardised_per_dimension():
    generator = torch.Generator().manual_seed(2)
    books = [torch.randn(6, 3, generator=generator) * 50 + 7, torch.randn(4, 2, generator=generator) / 100]
    embedding = CodeEmbedding([6, 4], embedding_dim=0, codebooks=books, frozen=True)
    assert embedding.out_dim == 6 and not embedding.table.requires_grad  # the narrow codebook is filled up to 3
    first = embedding(torch.tensor([[[k, 4] for k in range(6)]]))[0]
    torch.testing.assert_close(first[:, :3], (books[0] - books[0].mean(0)) / books[0].std(0, unbiased=False))
    assert torch.equal(first[:, 3:], torch.zeros(6, 3))
    second = embedding(torch.tensor([[[6, k] for k in range(4)]]))[0]
    torch.testing.assert_close(second[:, 3:5], (books[1] - books[1].mean(0)) / books[1].std(0, unbiased=False))


def test_a_constant_dimension_of_a_codebook_becomes_zero():
    assert torch.equal(standardized(torch.full((4, 2), 3.0)), torch.zeros(4, 2))


def test_codes_of_one_dimension_and_eighty_codebooks_are_the_dequantised_spectrum():
    levels = torch.linspace(-7, 2, 16).unsqueeze(1)
    embedding = CodeEmbedding([16] * 80, embedding_dim=80, codebooks=[levels] * 80)
    assert sum(value.numel() for value in embedding.parameters()) == 16 * 80 + 1  # no projection
    codes = torch.randint(0, 16, (2, 5, 80))
    expected = (levels[codes, 0] - levels.mean()) / levels.std(unbiased=False)
    torch.testing.assert_close(embedding(codes), expected)


def test_learned_weights_start_as_the_plain_sum_and_learn():
    torch.manual_seed(0)
    plain = CodeEmbedding([5, 3], embedding_dim=4, codebook_dim=6, combination="sum")
    weighted = CodeEmbedding([5, 3], embedding_dim=4, codebook_dim=6, combination="weighted_sum")
    assert set(weighted.state_dict()) == {"table", "projection.weight", "codebook_weights"}
    assert set(plain.state_dict()) == {"table", "projection.weight"}
    weighted.load_state_dict({**plain.state_dict(), "codebook_weights": weighted.codebook_weights})
    codes = some_codes([5, 3])
    torch.testing.assert_close(weighted(codes), plain(codes))
    with torch.no_grad():
        weighted.codebook_weights.copy_(torch.tensor([0.5, -2.0]))
    alone = [torch.where(torch.arange(2) == k, codes, torch.tensor([5, 3])) for k in range(2)]  # the other one padded
    torch.testing.assert_close(weighted(codes), 0.5 * plain(alone[0]) - 2.0 * plain(alone[1]))
    weighted(codes).square().sum().backward()
    assert (weighted.codebook_weights.grad != 0).all()


def test_attention_weighs_the_codes_of_a_frame_and_leaves_padding_out():
    torch.manual_seed(0)
    embedding = CodeEmbedding([5, 3, 4], embedding_dim=6, combination="attention")
    assert sum(value.numel() for value in embedding.attention.parameters()) == 6 * 6 + 6 + 6
    codes = some_codes([5, 3, 4])
    found, before = embedding(codes), codes.clone()
    assert torch.equal(embedding(codes), found) and torch.equal(codes, before)  # offsets are added once, to a copy
    books = embedding.table[:-1].split([5, 3, 4])
    hidden, score = embedding.attention.hidden, embedding.attention.score
    for row in range(3):
        for frame in range(7):
            ids = zip(books, codes[row, frame].tolist())
            present = [book[code] for book, code in ids if code < len(book)]
            expected = torch.zeros(6)
            if present:
                x = torch.stack(present)
                expected = (score(hidden(x).relu()).softmax(dim=0) * x).sum(dim=0)
            torch.testing.assert_close(found[row, frame], expected)
    assert torch.equal(embedding(torch.tensor([[[5, 3, 4]]])), torch.zeros(1, 1, 6))  # not the vectors of any unit
    found.square().sum().backward()
    assert not embedding.table.grad[-1].any()


def test_errors_name_the_value_and_what_was_expected():
    embedding = CodeEmbedding([5, 3], embedding_dim=4)
    codes = torch.zeros(1, 2, 2, dtype=torch.int64)
    codes[0, 1, 1] = 4
    with pytest.raises(ValueError, match=r"code 4 in utterance 0, frame 1, codebook 1 is outside 0\.\.3"):
        embedding(codes)
    with pytest.raises(ValueError, match="expected 2 codebooks"):
        embedding(torch.zeros(1, 2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="known: concat, sum, weighted_sum, attention"):
        CodeEmbedding([5], 4, combination="mean")
    with pytest.raises(ValueError, match="belong together"):
        CodeEmbedding([5], 4, codebooks=[torch.zeros(6, 2)])


def test_features_are_normalised_and_padding_stays_zero():
    features = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0)) * 4 - 9
    features[1, 4:] = 0.0
    normalizer = FeatureNormalizer(3, 0)
    real = torch.cat([features[0], features[1, :4]])
    normalizer.set_statistics(real.mean(0), real.std(0, unbiased=False))
    before = features.clone()
    out = normalizer(features)
    assert torch.equal(features, before)
    torch.testing.assert_close(out[0], (features[0] - real.mean(0)) / real.std(0, unbiased=False))
    assert torch.equal(out[1, 4:], torch.zeros(2, 3))
    assert FeatureNormalizer(3, 8)(features).shape == (2, 6, 8)


def test_embedding_masks_are_the_same_in_all_frames_and_only_in_training_from_the_start_epoch():
    config = AugmentConfig(augment_prob=1.0, num_embedding_masks=2, embedding_mask_size=27, augment_start_epoch=3)
    augment = EmbeddingAugment(config)
    x = torch.ones(50, 4, 80)
    augment.epoch = 2
    assert augment(x) is x
    augment.epoch = 3
    assert augment.eval()(x) is x
    torch.manual_seed(0)
    masked = augment.train()(x)
    assert torch.equal(x, torch.ones(50, 4, 80))
    zeros = (masked == 0).sum(dim=2)
    assert torch.equal(zeros[:, 0], zeros[:, 3])
    assert 0 < zeros.max() <= 54
    assert 20 < zeros[:, 0].float().mean() < 27  # two widths uniform in 0..27, less their overlap


def test_gaussian_noise_reaches_the_stated_share_of_utterances():
    augment = EmbeddingAugment(AugmentConfig(num_embedding_masks=0, gaussian_noise_prob=0.25)).train()
    torch.manual_seed(0)
    changed = augment(torch.zeros(400, 5, 8)).abs().amax(dim=(1, 2)) > 0
    assert 70 < int(changed.sum()) < 130


@pytest.mark.parametrize(
    "rate, target, lens, expected", [(50, 100, [4, 3], [8, 6]), (75, 100, [4, 3], [6, 4]), (100, 40, [5, 4], [2, 2])]
)
def test_rate_matching_takes_the_nearest_frame_and_padding_changes_nothing(rate, target, lens, expected):
    ratio = rate_ratio(target, rate)
    x = torch.arange(1.0, 1.0 + max(lens)).view(1, -1, 1).repeat(2, 1, 1)
    x[1, lens[1] :] = 0.0
    out, out_lens = match_rate(x, torch.tensor(lens), ratio)
    assert out_lens.tolist() == expected == [matched_lens(length, ratio) for length in lens]
    for row, length in enumerate(lens):
        alone, _ = match_rate(x[row : row + 1, :length], torch.tensor([length]), ratio)
        assert torch.equal(alone[0], out[row, : expected[row]])
        times = [int(j * rate / target) + 1.0 for j in range(expected[row])]
        assert alone[0, :, 0].tolist() == times


def test_no_rate_matching_by_default():
    x, lens = torch.randn(1, 3, 2), torch.tensor([3])
    assert match_rate(x, lens, rate_ratio(0.0, 37.5))[0] is x
