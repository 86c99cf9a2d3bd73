"""The attention decoder: ESPnet's numbers, label by label the same as all at once, a batch the same as each alone."""

from pathlib import Path

import numpy
import pytest
import torch

from icefall_discrete.losses.label_smoothing import smoothed_divergence
from icefall_discrete.nn.heads.attention_decoder import AttentionDecoder, AttentionDecoderConfig

SMALL = AttentionDecoderConfig(16, 2, 2, 24, "relu")
# Beginnings, parts and ends of ESPnet's names below `decoder.`, and what they are here.
NAMES = (
    ("embed.0.", "embedding."),
    ("decoders.", "layers."),
    ("after_norm.", "norm."),
    ("output_layer.", "output."),
    ("self_attn.", "self_attention."),
    ("src_attn.", "source_attention."),
    ("feed_forward.w_1.", "expand."),
    ("feed_forward.w_2.", "contract."),
    ("norm1.", "norm_self."),
    ("norm2.", "norm_source."),
    ("norm3.", "norm_feedforward."),
)


def our_name(theirs):
    for before, after in NAMES:
        theirs = theirs.replace(before, after)
    return theirs


def golden_and_decoder():
    with numpy.load(Path(__file__).parents[1] / "assets" / "attention_decoder_golden.npz") as arrays:
        golden = {key: torch.from_numpy(numpy.asarray(arrays[key])) for key in arrays}
    decoder = AttentionDecoder(SMALL, 16, 11, 10).eval()
    weights = {our_name(key[len("param/") :]): value for key, value in golden.items() if key.startswith("param/")}
    decoder.load_state_dict(weights)
    return golden, decoder


def random_batch(vocab_size=11, encoder_dim=20, config=SMALL):
    torch.manual_seed(3)
    decoder = AttentionDecoder(config, encoder_dim, vocab_size, 1).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    labels, label_lens = torch.randint(2, vocab_size, (4, 6)), torch.tensor([6, 0, 4, 1])
    return decoder, torch.randn(4, 9, encoder_dim), torch.tensor([9, 3, 7, 0]), labels, label_lens


def test_it_is_espnets_decoder():
    golden, decoder = golden_and_decoder()
    out, lens, label_lens = golden["encoder_out"], golden["encoder_lens"], golden["label_lens"]
    inputs, targets = decoder.inputs_and_targets(golden["labels"], label_lens)
    logits = decoder(out, lens, inputs)
    for n, length in enumerate(label_lens.tolist()):
        torch.testing.assert_close(logits[n, : length + 1], golden["logits"][n, : length + 1], rtol=1e-5, atol=1e-5)
    loss = smoothed_divergence(logits, targets, label_lens + 1, 0.1).sum() / len(out)
    assert loss.item() == pytest.approx(golden["loss"].item(), rel=1e-5)
    loss.backward()
    norms = {our_name(key[len("grad_norm/") :]): value for key, value in golden.items() if key.startswith("grad_norm/")}
    for name, parameter in decoder.named_parameters():
        assert parameter.grad.norm().item() == pytest.approx(norms[name].item(), rel=1e-4, abs=1e-6), name
    log_probs = decoder(out[:1], lens[:1], golden["labels"][:1, :3])[:, -1].log_softmax(dim=1)
    torch.testing.assert_close(log_probs, golden["fourth"], rtol=1e-5, atol=1e-5)


def test_it_has_as_many_parameters_as_espnets():
    whole = AttentionDecoder(AttentionDecoderConfig(256, 6, 4, 2048, "relu"), 256, 5000, 4999)
    assert sum(parameter.numel() for parameter in whole.parameters()) == 12_038_024
    assert sum(parameter.numel() for parameter in whole.layers[0].parameters()) == 1_578_752


def test_scores_are_those_of_the_network_and_need_no_padding():
    decoder, out, lens, labels, label_lens = random_batch()
    scores = decoder.score(out, lens, labels, label_lens)
    for n, length in enumerate(label_lens.tolist()):
        alone = decoder(out[n : n + 1, : lens[n]], lens[n : n + 1], labels[n : n + 1, :length])[0].log_softmax(dim=1)
        said = [*labels[n, :length].tolist(), decoder.eos_id]
        expected = torch.stack([alone[place, unit] for place, unit in enumerate(said)])
        torch.testing.assert_close(scores[n, : length + 1], expected, rtol=1e-5, atol=1e-5)
        assert (scores[n, length + 1 :] == 0).all()


def test_several_rows_of_an_utterance_are_scored_together(monkeypatch):
    decoder, out, lens, labels, label_lens = random_batch()
    several = torch.tensor([2, 0, 2, 1])
    together = decoder.score(out, lens, labels, label_lens, several)
    torch.testing.assert_close(together, decoder.score(out[several], lens[several], labels, label_lens))
    monkeypatch.setattr("icefall_discrete.nn.heads.attention_decoder._LABELS_AT_ONCE", 14)
    torch.testing.assert_close(together, decoder.score(out, lens, labels, label_lens, several))
    assert decoder.score(out, lens, labels[:0], label_lens[:0], several[:0]).shape == (0, 7)


def test_label_by_label_equals_all_at_once():
    decoder, out, lens, labels, _ = random_batch()
    expected = decoder(out, lens, labels).log_softmax(dim=2)
    memory, utterances = decoder.start(out, lens), torch.arange(4)
    earlier, log_probs = decoder.advance(
        memory, utterances, decoder.no_labels(4, out.device), torch.full((4,), decoder.eos_id)
    )
    for place in range(labels.size(1) + 1):
        torch.testing.assert_close(log_probs, expected[:, place], rtol=1e-5, atol=1e-5)
        if place < labels.size(1):
            earlier, log_probs = decoder.advance(memory, utterances, earlier, labels[:, place])


def test_padded_frames_and_later_labels_get_no_gradient():
    decoder, out, lens, labels, _ = random_batch()
    out.requires_grad_()
    logits = decoder(out, lens, labels)
    embedded = decoder.embedding.weight
    logits[:, 2].sum().backward()
    assert all((out.grad[n, length:] == 0).all() for n, length in enumerate(lens.tolist()))
    unseen = set(range(11)) - {decoder.eos_id, *labels[:, :2].flatten().tolist()}
    assert unseen and all((embedded.grad[unit] == 0).all() for unit in unseen)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"attention_decoder_dim is 30, expected an even multiple of .*num_heads, 4"):
        AttentionDecoderConfig(30, 1, 4)
    with pytest.raises(ValueError, match="attention_decoder_activation is 'gelu', expected one of swish, relu"):
        AttentionDecoderConfig(attention_decoder_activation="gelu")
