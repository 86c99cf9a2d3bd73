"""CTX-vec2wav against its authors' code; prompts and prosody of toy speech, training, windows, what is refused."""

import dataclasses
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet
from lhotse.utils import fastcopy
from safetensors.torch import load_file
from synthetic_codes import goes_on_exactly, make_trainer
from toy_speech import (
    FRAME,
    RATE,
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

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import write_tensors
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.prompts import PromptRange, prompt_among, read_prompt, with_prompts
from icefall_discrete.data.prosody import prosody_frames, with_prosody
from icefall_discrete.data.speech import parts_of
from icefall_discrete.experiment.published_ctx_vec2wav import write_experiment
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.nn.generators.contract import Prompt
from icefall_discrete.nn.log_mel import LogMel
from icefall_discrete.systems.vocoder.network import ModelConfig, build_vocoder
from icefall_discrete.systems.vocoder.prompting import Prompter
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.systems.vocoder.synthesis import SynthesisConfig, in_windows, waveform

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "test" / "assets" / "ctx_vec2wav.safetensors"
PAIRS = FeatureSpec("pairs", "codes", 16000, 100.0, 2, (320, 320), 0)
HALVES = FeatureSpec("halves", "codes", 16000, 50.0, 2, (1000, 1000), 0)
SMALL = {
    "kind": "ctx_vec2wav",
    "hifigan_channels": 8,
    "upsample_rates": [8, 5, 4],
    "upsample_kernels": [16, 10, 8],
    "resblock_kernels": [3],
    "front_dim": 8,
    "front_feedforward_dim": 12,
    "front_num_layers": 1,
    "front_kernel": 5,
    "front_attention_frames": 6,
    "prompt_bins": 8,
}
MODEL = prompted_model(SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_prompted_speech(tmp_path_factory.mktemp("prompted"), MODEL, 6)


@pytest.fixture(scope="module")
def speaker(folder):
    recipe = {**RECIPE, "model": MODEL}
    make_experiment(folder / "V", SPEC, recipe=recipe)
    return Speaker(folder / "V")


def small(**changes):
    return audible_network({**MODEL, "generator": {**SMALL, **changes}, "voice_dim": 4}, of_vectors=0)


def close(found, expected, atol=3e-6):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def published(folder, tensors, sums=None):
    """Files as they are published, and a folder of features: arguments of write_experiment."""
    folder.mkdir(exist_ok=True)
    weights = {name[10:]: value for name, value in tensors.items() if name.startswith("generator.")}
    torch.save({"model": {"generator": weights}}, folder / "ctx_v2w.pkl")
    sums = np.stack([np.append(np.full(10, 6.0), 4.0), np.append(np.full(10, 25.0), 0.0)]) if sums is None else sums
    header = struct.pack("<2s3sbibi", b"\0B", b"DM ", 4, sums.shape[0], 4, sums.shape[1])
    (folder / "cmvn.ark").write_bytes(header + sums.astype("<f8").tobytes())
    (folder / "features").mkdir(exist_ok=True)
    FeatureSpec("two", "codes", 8000, 400.0, 2, (7, 7), 0).write(folder / "features" / "spec.json")
    books = {str(number): book for number, book in enumerate(tensors["codebooks"])}
    write_tensors(folder / "features" / "codebooks.safetensors", books)
    return folder / "V", folder / "ctx_v2w.pkl", folder / "cmvn.ark", folder / "features"


@torch.no_grad()
def test_it_makes_what_the_authors_code_makes(tmp_path):
    tensors = load_file(GOLDEN)
    write_experiment(*published(tmp_path, tensors))
    network = Speaker(tmp_path / "V").network
    assert torch.equal(network.log_mel.mean, torch.full((10,), 1.5))
    close(network.log_mel.deviation, torch.full((10,), 2.0))
    codes, lens = tensors["codes"].long(), torch.tensor([13, 13])
    prompt, nobody = Prompt(tensors["prompt"], torch.tensor([17, 17])), torch.zeros(2, dtype=torch.int64)
    fronted = network.fronted(codes, nobody, lens, prompt)
    for name in ("states", "mel", "prosody"):
        close(getattr(fronted, name), tensors[name])
    close(network.spoken(fronted.states), tensors["audio"])
    close(network.fronted(codes, nobody, lens, prompt, tensors["given"]).states, tensors["states_of_given"])


def test_what_is_no_published_one_is_refused_and_nothing_is_left(tmp_path):
    tensors = load_file(GOLDEN)
    few = {name: value for name, value in tensors.items() if "frontend" not in name}
    wide = {**tensors, "codebooks": torch.zeros(2, 7, 4)}
    for number, (given, sums, sentence) in enumerate(
        [
            (few, None, "has no 'frontend' and 'backend', expected a CTX-vec2wav; give its generator"),
            (wide, None, "reads vectors of 6 values of each frame, which the codebooks in .* do not give"),
            (tensors, np.zeros((2, 9)), "cmvn.ark holds no sums of 10 mel bins as Kaldi writes them"),
            (tensors, np.zeros((2, 11)), "cmvn.ark holds no sums of 10 mel bins"),
        ]
    ):
        arguments = published(tmp_path / str(number), given, sums)
        with pytest.raises(ValueError, match=sentence):
            write_experiment(*arguments)
        assert not arguments[0].exists()


@pytest.mark.parametrize(
    ("corpus", "spec", "of_front", "of_all"),
    [("libritts", PAIRS, 15_469_843, 29_571_988), ("asterisk", HALVES, None, None)],
)
def test_recipes_build_and_the_published_one_has_the_published_parameters(corpus, spec, of_front, of_all):
    pytest.importorskip("torch", minversion="2.1", reason="built on the meta device, torch >= 2.1")
    path = ROOT / "egs" / corpus / "TTS" / "conf" / "recipes" / "ctx_vec2wav.json"
    settings = read_settings(path, None, [], SimpleNamespace())
    assert TrainSettings.from_dict(settings.to_dict(), str(path)) == settings
    with torch.device("meta"):
        books = [torch.zeros(size, 256) for size in spec.codebook_sizes]
        generator = build_vocoder(settings.model, spec, 1, books).generator
    if of_all is not None:
        assert sum(value.numel() for value in generator.front.parameters()) == of_front
        assert sum(value.numel() for value in generator.parameters()) == of_all


@torch.no_grad()
def test_windows_give_what_the_whole_gives_and_a_prompt_is_heard():
    network, codes, prompt = small(), some_codes(90), some_prompt(8)
    whole = waveform(network, codes, 1, 999, prompt)
    assert whole.shape == (90 * FRAME,)
    found = list(in_windows(network, codes, 1, 20, prompt))
    assert len(found) == 5
    scale = float(whole.abs().max())
    close(torch.cat(found), whole, 1e-4 * scale)
    assert float((whole - waveform(network, codes, 1, 999, some_prompt(8, seed=1))).abs().max()) > 1e-3 * scale
    everything = small(front_attention_frames=0)
    assert everything.front.reach is None and everything.frames_in(30.0) == 1500
    close(waveform(everything, codes, 1, 20, prompt), waveform(everything, codes, 1, 999, prompt), 1e-6)


@torch.no_grad()
def test_a_padded_batch_gives_what_each_gives_alone():
    network, prompt = small(), some_prompt(8, 2)
    codes = torch.full((2, 24, 1), SIZE)
    codes[0], codes[1, :15] = some_codes(24), some_codes(15, 1)
    lens, voices = torch.tensor([24, 15]), torch.tensor([1, 2])
    padded = Prompt(prompt.mel.clone(), torch.tensor([30, 12]))
    together = network.fronted(codes, voices, lens, padded, torch.full((2, 24, 3), 0.3))
    own = Prompt(prompt.mel[1:, :12], torch.tensor([12]))
    alone = network.fronted(codes[1:, :15], voices[1:], lens[1:], own, torch.full((1, 15, 3), 0.3))
    close(together.states[1:, :15], alone.states, 1e-5)
    assert not together.states[1, 15:].any()


def test_mel_spectra_of_a_batch_are_those_of_each_alone():
    mel, audio = LogMel(RATE, FRAME, 8), torch.randn(2, 10 * FRAME)
    audio[1, 6 * FRAME :] = 0.0
    close(mel(audio)[1, :6], mel(audio[1:, : 6 * FRAME])[0], 1e-5)
    mel.fit(list(audio[:1]))
    assert mel(audio[:1]).mean().abs() < 1e-4 and mel.mean.abs().min() > 0


def test_prosody_is_that_of_the_audio_and_computed_once(folder):
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    for _ in range(2):
        made = with_prosody(cuts, spec, folder / "features", "train")
        written = (folder / "features" / "prosody" / "train.frames").stat().st_mtime_ns
    assert (folder / "features" / "prosody" / "train.frames").stat().st_mtime_ns == written
    cut = made[0]
    rows, codes = prosody_frames(cut, spec), cut.load_custom("codes")[:, 0]
    assert rows.shape == (len(codes), 3)
    low = np.flatnonzero((codes == 0) & (np.roll(codes, 2) == 0) & (np.roll(codes, -2) == 0))
    heard = [frame for frame in low if 2 < frame < len(codes) - 2]
    assert all(rows[frame, 0] == 1 and abs(float(rows[frame, 1]) - np.log(2.0)) < 0.05 for frame in heard)
    assert set(rows[:, 0].tolist()) <= {0.0, 1.0} and rows.isfinite().all() and float(rows[:, 2].max()) < 0
    part = next(one for one in parts_of(made, spec, 0.2, 7) if one.id == cut.id and one.start > 0)
    assert torch.equal(prosody_frames(part, spec), rows[round(50 * part.start) :][: round(50 * part.duration)])
    fewer = CutSet.from_cuts(list(cuts)[:2])
    with_prosody(fewer, spec, folder / "features", "train")
    assert (folder / "features" / "prosody" / "train.frames").stat().st_mtime_ns > written


def test_prompts_are_of_the_voice_and_never_of_what_is_said(folder):
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    long = CutSet.from_cuts([fastcopy(cuts[0], duration=cuts[0].duration), *list(cuts)[1:]])
    parts = parts_of(long, spec, 0.2, 7)
    found = [with_prompts(parts, long, "speaker", PromptRange(0.5, 0.7), seed) for seed in (1, 1, 2)]
    pieces = [[one.custom["prompt_pieces"] for one in some] for some in found]
    assert pieces[0] == pieces[1] != pieces[2]
    for part, of in zip(parts, pieces[0]):
        assert 0.4 < sum(piece.duration for piece in of) <= 0.71
        for piece in of:
            assert piece.supervisions[0].speaker == part.supervisions[0].speaker and piece.custom is None
            assert piece.id != part.id or piece.end <= part.start + 1e-6 or piece.start >= part.end - 1e-6
    one = CutSet.from_cuts([cuts[0]])
    itself = with_prompts(one, one, "speaker", PromptRange(0.5, 0.7), 1)[0]
    assert itself.custom["prompt_pieces"][0].id == cuts[0].id
    assert prompt_among(cuts[0], list(cuts), 0.1).id != cuts[0].id and prompt_among(cuts[0], [cuts[0]], 0.1) is None


def test_some_utterances_are_learnt_by_heart(folder, tmp_path):
    changes = {"train__num_epochs": 1, "train__average_period": 20, "loss__front_mel_steps": 20}
    trainer, data = make_trainer(folder, tmp_path, **changes)
    batch = next(iter(data.train_batches(1, 0)))
    assert set(batch) >= {"audio", "prompt", "prompt_lens", "prosody"}
    assert batch["prosody"].shape == (*batch["codes"].shape[:2], 3) and int(batch["prompt_lens"].min()) >= RATE // 2
    system = trainer.system.train()
    before = system.losses(system.prepare(batch, trainer.device), 0)
    assert {"front_mel", "prosody", "mel", "stft"} == set(before.parts)
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 40))
    after = system.train().losses(system.prepare(batch, trainer.device), 41)
    for name in ("prosody", "front_mel", "mel"):
        assert float(after.parts[name]) < 0.95 * float(before.parts[name]), name


def test_a_killed_training_goes_on_exactly(folder, tmp_path):
    goes_on_exactly(folder, tmp_path)


def test_a_speaker_speaks_in_the_voice_of_a_prompt(folder, speaker, tmp_path):
    codes = some_codes(12)
    said = speaker.say(codes, "otto")
    assert said.shape == (12 * FRAME,) and not torch.equal(said, speaker.say(codes, "anna"))
    tone = 0.3 * np.sin(np.arange(16000) / 9.0)
    for rate in (RATE, 2 * RATE):
        soundfile.write(tmp_path / f"{rate}.wav", tone, rate)
    as_told = Speaker(folder / "V", synthesis=SynthesisConfig(prompt=str(tmp_path / f"{RATE}.wav")))
    assert not torch.equal(as_told.say(codes), said) and torch.equal(as_told.say(codes), as_told.say(codes, "otto"))
    assert read_prompt(tmp_path / f"{2 * RATE}.wav", RATE).shape == (8000,)
    manifest = folder / "features" / "test.jsonl.gz"
    spoken = {one.name: one.samples for one in speaker.say_file(manifest)}
    assert set(spoken) == {"test-0", "test-1"}
    otto = {one.name: one.samples for one in speaker.say_file(manifest, "otto")}
    assert torch.equal(otto["test-1"], spoken["test-1"]) and not torch.equal(otto["test-0"], spoken["test-0"])


def test_who_cannot_be_heard_is_told(folder, speaker, tmp_path):
    codes = some_codes(12)
    with pytest.raises(ValueError, match="give --prompt, an audio file or --speaker, one of anna, otto"):
        speaker.say(codes)
    with pytest.raises(ValueError, match="unknown speaker 'oto'"):
        speaker.say(codes, "oto")
    soundfile.write(tmp_path / "short.wav", np.ones(800), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    for name, sentence in {
        "short.wav": r"0\.10 s of audio, expected at least 0\.5 s",
        "silent.wav": "it is silent",
        "absent.wav": "prompt .*absent.wav: ",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            Prompter(speaker.network, speaker.voices, str(tmp_path / name))
    other = build_vocoder(ModelConfig(voice_dim=4), SPEC, 3)
    with pytest.raises(ValueError, match="takes no prompt; leave it away"):
        Prompter(other, speaker.voices, str(tmp_path / "short.wav"))
    cuts, _ = load_feature_cuts(folder / "features" / "test.jsonl.gz")
    strangers = [fastcopy(cut, supervisions=[fastcopy(cut.supervisions[0], speaker="eve")]) for cut in cuts]
    prompter = Prompter(speaker.network, speaker.voices)
    assert prompter.among(strangers)(strangers[0]).mel.shape[1] == strangers[1].num_samples // FRAME
    with pytest.raises(ValueError, match="cut test-0: its speaker 'eve' is not in the training data, and has no other"):
        prompter.among(strangers[:1])
