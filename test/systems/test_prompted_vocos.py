"""Vocos in the voice of a prompt: batches, windows, whose voice a toy learns to hear in a prompt, what is refused."""

import dataclasses

import pytest
import torch
from synthetic_codes import make_trainer
from toy_speech import (
    FRAME,
    RECIPE,
    SIZE,
    SPEC,
    audible_network,
    make_experiment,
    prompted_model,
    some_codes,
    some_prompt,
    write_prompted_speech,
)

from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.nn.generators.contract import Prompt
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig, in_windows, waveform

SMALL = {
    **RECIPE["model"]["generator"],
    "kind": "prompted_vocos",
    "prompt_dim": 4,
    "prompt_channels": 8,
    "prompt_bins": 16,
}
MODEL = prompted_model(SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prompted_speech(tmp_path_factory.mktemp("prompted"), MODEL, 8, voice_dropout=0.0)


def small():
    return audible_network(MODEL)


@torch.no_grad()
def test_windows_give_what_the_whole_gives_and_a_prompt_is_heard():
    network, codes, prompt = small(), some_codes(60), some_prompt(16)
    whole = waveform(network, codes, 1, 999, prompt)
    scale = float(whole.abs().max())
    found = list(in_windows(network, codes, 1, 20, prompt))
    assert len(found) == 3 and whole.shape == (60 * FRAME,)
    torch.testing.assert_close(torch.cat(found), whole, rtol=0, atol=1e-4 * scale)
    assert float((whole - waveform(network, codes, 1, 999, some_prompt(16, seed=1))).abs().max()) > 1e-3 * scale
    assert waveform(network, codes[:1], 1, 20, some_prompt(16, frames=1)).isfinite().all(), "shorter than its kernels"


@torch.no_grad()
def test_a_padded_batch_gives_what_each_gives_alone():
    network, prompt = small(), some_prompt(16, 2)
    codes = torch.full((2, 24, 1), SIZE)
    codes[0], codes[1, :15] = some_codes(24), some_codes(15, 1)
    lens, voices = torch.tensor([24, 15]), torch.tensor([1, 2])
    together = network.fronted(codes, voices, lens, Prompt(prompt.mel, torch.tensor([30, 12])))
    own = Prompt(prompt.mel[1:, :12], torch.tensor([12]))
    alone = network.fronted(codes[1:, :15], voices[1:], lens[1:], own)
    torch.testing.assert_close(together.states[1:, :15], alone.states, rtol=0, atol=1e-5)
    assert not together.states[1, 15:].any() and together.mel is together.prosody is None


def test_whose_voice_it_is_is_learnt_from_the_prompt_alone(folder, tmp_path):
    """With the prompts of the others, a toy of a tone and of one with overtones is further from the recordings."""
    trainer, data = make_trainer(folder, tmp_path, train__num_epochs=1, train__average_period=50)
    batch = next(iter(data.train_batches(1, 0)))
    assert "prompt" in batch and "prosody" not in batch and not (folder / "features" / "prosody").exists()
    voices = trainer.system.targets.collate(batch)
    assert len(set(voices.tolist())) == 2
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 80))
    system = trainer.system.eval()
    other = torch.tensor([int((voices != voice).nonzero()[0]) for voice in voices])
    swapped = {**batch, "prompt": batch["prompt"][other], "prompt_lens": batch["prompt_lens"][other]}
    own, others = (
        float(system.losses(system.prepare(one, trainer.device), 80).parts["mel"]) for one in (batch, swapped)
    )
    assert own < 0.9 * others


def test_a_speaker_speaks_in_the_voice_of_a_prompt_or_says_that_it_wants_one(folder):
    make_experiment(folder / "V", SPEC, recipe={**RECIPE, "model": MODEL})
    speaker, codes = Speaker(folder / "V"), some_codes(12)
    assert not torch.equal(speaker.say(codes, "otto"), speaker.say(codes, "anna"))
    prompt = str(folder / "audio" / "test-1.wav")
    as_told = Speaker(folder / "V", synthesis=SynthesisConfig(prompt=prompt))
    assert as_told.say(codes).shape == (12 * FRAME,) and not torch.equal(as_told.say(codes), speaker.say(codes, "anna"))
    with pytest.raises(ValueError, match="speaks in the voice of a prompt; give --prompt, an audio file or --speaker"):
        speaker.say(codes)
