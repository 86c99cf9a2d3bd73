"""A vocoder of toy speech: generators, training through the loop, exact resume, windows, what it refuses."""

import dataclasses
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from synthetic_codes import goes_on_exactly, make_trainer
from toy_speech import FRAME, SIZE, SPEAKERS, SPEC, UNITS, write_speech

from icefall_discrete import CONF_DIR
from icefall_discrete.audio.reading import load_samples
from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.data.speech import frame_samples, parts_of
from icefall_discrete.data.targets.voices import VoiceTargets
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.experiment.stages import vocoder as vocoder_stages
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.nn.durations import DurationPredictor, duration_loss, durations_of
from icefall_discrete.nn.generators.hifigan import HifiganConfig
from icefall_discrete.nn.generators.vocos import VocosConfig
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.systems.vocoder.files import VocoderFiles, read_said
from icefall_discrete.systems.vocoder.heard import Heard, HeardVoice, read_heard_voices, write_heard, write_heard_voices
from icefall_discrete.systems.vocoder.network import ModelConfig, build_vocoder
from icefall_discrete.systems.vocoder.prediction import VocoderPrediction
from icefall_discrete.systems.vocoder.scoring import score_speech
from icefall_discrete.systems.vocoder.settings import TrainSettings
from icefall_discrete.systems.vocoder.synthesis import (
    SynthesisConfig,
    frames_to_speak,
    in_windows,
    require_codes,
    waveform,
)
from icefall_discrete.systems.vocoder.system import run_lengths

RATE = SPEC.sample_rate_hz
MELS = FeatureSpec("mels", "codes", 16000, 40.0, 80, (16,) * 80, 0)
ALONE = FeatureSpec("alone", "codes", 16000, 50.0, 1, (500,), 0)
GENERATORS = {
    "vocos": VocosConfig(vocos_dim=12, vocos_hidden_dim=16, vocos_num_layers=3),
    "vocos, frames repeated": VocosConfig(vocos_dim=12, vocos_hidden_dim=16, vocos_num_layers=3, largest_hop=60),
    "hifigan": HifiganConfig(hifigan_channels=8, upsample_rates=(8, 5, 4), upsample_kernels=(16, 11, 8)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_speech(tmp_path_factory.mktemp("speech"))


def vocoder(generator="vocos", spec=SPEC, **settings):
    torch.manual_seed(0)
    config = ModelConfig(generator=GENERATORS[generator], voice_dim=4, **settings)
    return build_vocoder(config, spec, 3).eval()


def some_codes(num_frames, seed=0):
    return torch.randint(SIZE, (num_frames, 1), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", GENERATORS)
def test_windows_give_what_the_whole_gives(kind):
    network, codes = vocoder(kind), some_codes(70)
    whole = network(codes[None], torch.tensor([1]))[0]
    assert whole.shape == (70 * FRAME,)
    scale = float(whole.detach().abs().max())
    for window in (9, 69):
        found = list(in_windows(network, codes, 1, window))
        assert len(found) == math.ceil(70 / window)
        torch.testing.assert_close(torch.cat(found), whole.detach(), atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_sample_depends_on_frames_within_reach_only(kind):
    network, codes = vocoder(kind), some_codes(80)
    reach = network.generator.reach
    other = codes.clone()
    other[40] = (other[40] + 1) % SIZE
    changed = (waveform(network, codes, 1, 999) - waveform(network, other, 1, 999)).abs() > 1e-7
    places = changed.nonzero()[:, 0] // FRAME
    assert len(places) and 40 - reach <= int(places.min()) and int(places.max()) <= 40 + reach


def test_voices_and_codes_are_heard():
    network, codes = vocoder(), some_codes(20)
    one, other = (waveform(network, codes, voice, 99) for voice in (1, 2))
    assert not torch.allclose(one, other, atol=1e-6)
    assert not torch.allclose(one, waveform(network, some_codes(20, 1), 1, 99), atol=1e-6)


def test_frames_of_codes_fit_or_are_refused():
    assert frame_samples(SPEC) == frame_samples(UNITS) == FRAME
    odd = dataclasses.replace(SPEC, frame_rate_hz=75.0)
    with pytest.raises(ValueError, match=r"every 106\.7 samples at 8000 Hz, expected a whole number"):
        frame_samples(odd)
    with pytest.raises(ValueError, match="make 160 samples of a frame, but these codes have a frame every 80 samples"):
        vocoder("hifigan", dataclasses.replace(SPEC, frame_rate_hz=100.0))
    with pytest.raises(ValueError, match="fft_size is 32, expected an even number of at least the 160 samples"):
        VocosConfig(fft_size=32).build(4, FRAME)
    with pytest.raises(ValueError, match="expected a kernel for each rate"):
        HifiganConfig(upsample_rates=(8, 5), upsample_kernels=(16, 4))
    assert VocosConfig().build(4, 1920).repeats == 4


def test_what_is_no_code_of_the_spec_is_refused():
    sentences = {
        "codes of shape (5,), expected (frames, 1)": torch.zeros(5, dtype=torch.long),
        "codes of shape (5, 2), expected (frames, 1)": torch.zeros(5, 2, dtype=torch.long),
        "there are no codes, expected at least one frame": torch.zeros(0, 1, dtype=torch.long),
        "codes are torch.float32, expected whole numbers": torch.zeros(5, 1),
        "code 6 in frame 3 of codebook 0, expected 0 to 5": torch.tensor([0, 1, 2, 6, 9])[:, None],
    }
    for sentence, codes in sentences.items():
        with pytest.raises(ValueError) as caught:
            require_codes(codes, SPEC, "a.npy")
        assert sentence in str(caught.value) and str(caught.value).startswith("a.npy: ")
    features = FeatureSpec("f", "continuous", 8000, 50.0, 0, (), 3)
    require_codes(torch.zeros(2, 3), features, "a.npy")
    with pytest.raises(ValueError, match="finite"):
        require_codes(torch.full((2, 3), math.nan), features, "a.npy")


def test_voices_are_a_table_with_a_row_for_anybody(folder, tmp_path):
    cuts, _ = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    voices = VoiceTargets.from_cuts("speaker", cuts)
    assert (voices.names, voices.size) == (list(SPEAKERS), 3)
    assert [voices.number_of(name) for name in ("", *SPEAKERS)] == [0, 1, 2]
    assert voices.of_facts({"speaker": "someone"}) == voices.of_facts({}) == 0
    with pytest.raises(ValueError, match="unknown speaker 'oto'; did you mean otto"):
        voices.number_of("oto")
    voices.save(tmp_path)
    assert VoiceTargets.load(tmp_path).means_the_same(voices)
    other = VoiceTargets("speaker", {"anna": 3})
    with pytest.raises(ValueError, match="has 2 voices by speaker"):
        other.save(tmp_path)
    with pytest.raises(ValueError, match="unknown speaker 'anna'; none is known"):
        VoiceTargets("speaker", {}).number_of("anna")


def test_parts_are_the_whole_and_differ_from_epoch_to_epoch(folder):
    cuts, spec = load_feature_cuts(folder / "features" / "train.jsonl.gz")
    epochs = [parts_of(cuts, spec, 0.2, 7, epoch) for epoch in (1, 1, 2)]
    divided = [[(cut.id, cut.start, cut.duration) for cut in parts] for parts in epochs]
    assert divided[0] == divided[1] != divided[2]
    for whole in cuts:
        mine = [cut for cut in epochs[0] if cut.id == whole.id]
        assert mine[0].start == 0 and mine[-1].end == pytest.approx(whole.end)
        assert all(one.end == pytest.approx(other.start) for one, other in itertools.pairwise(mine))
        assert all(0.07 < cut.duration <= 0.31 for cut in mine)
        assert len(mine) == 1 or all(cut.start * RATE % FRAME == pytest.approx(0) for cut in mine)


def test_a_batch_holds_the_audio_of_its_codes(folder, tmp_path):
    _, data = make_trainer(folder, tmp_path)
    for batch in [*data.train_batches(1, 0), *data.valid_batches()]:
        assert batch["audio"].shape[1] == int(batch["frame_lens"].max()) * FRAME
        for codes, length, audio in zip(batch["codes"], batch["frame_lens"].tolist(), batch["audio"]):
            code = int(codes[length // 2, 0])
            piece = audio[length // 2 * FRAME : (length // 2 + 1) * FRAME].numpy()
            cycles = np.abs(np.fft.rfft(piece))[1 : FRAME // 2]
            assert (int(cycles.argmax()) + 1) * RATE / FRAME == pytest.approx(200 * (1 + code), abs=60)


def test_a_batch_in_another_order_has_the_same_loss_and_padding_takes_no_part(folder, tmp_path):
    trainer, data = make_trainer(folder, tmp_path)
    system, batch = trainer.system.eval(), next(iter(data.valid_batches()))
    whole = system.losses(system.prepare(batch, trainer.device), 0)
    longer = {**batch, "audio": torch.nn.functional.pad(batch["audio"], (0, 5 * FRAME))}
    filler = torch.full((len(batch["codes"]), 5, 1), SIZE)
    longer["codes"] = torch.cat([batch["codes"], filler], dim=1)
    padded = system.losses(system.prepare(longer, trainer.device), 0)
    assert int(whole.frames) == int(padded.frames) == int(batch["frame_lens"].sum()) and whole.finite.all()
    assert {"mel", "stft"} == set(whole.parts)


def test_some_utterances_are_learnt_by_heart(folder, tmp_path):
    changes = {"train__num_epochs": 1, "train__average_period": 20, "target__voice_dropout": 0.0}
    trainer, data = make_trainer(folder, tmp_path, **changes)
    batch = next(iter(data.valid_batches()))
    before = trainer.system.eval().losses(trainer.system.prepare(batch, trainer.device), 0)
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 60))
    after = trainer.system.eval().losses(trainer.system.prepare(batch, trainer.device), 0)
    assert float(after.mean) < 0.6 * float(before.mean)


def test_a_killed_training_goes_on_exactly(folder, tmp_path):
    goes_on_exactly(folder, tmp_path)


def test_durations_of_units_are_learnt_and_told(tmp_path):
    changes = {"model": {"durations": {"predict_durations": True, "duration_dim": 8, "duration_dropout": 0.0}}}
    folder = write_speech(tmp_path / "units", UNITS, 4, **changes)
    trainer, data = make_trainer(folder, tmp_path / "exp", train__num_epochs=1, train__average_period=50)
    batch = next(iter(data.valid_batches()))
    prepared = trainer.system.prepare(batch, trainer.device)
    assert int(prepared.lens[0]) == int(batch["durations"][0].sum()) and prepared.audio.shape == batch["audio"].shape
    trainer.fit(dataclasses.replace(data, train_batches=lambda epoch, start: [batch] * 40))
    network = trainer.system.network.eval()
    codes = batch["codes"][0][: int(batch["frame_lens"][0])]
    given = frames_to_speak(network, codes, batch["durations"][0])
    guessed = frames_to_speak(network, codes, without_repetitions=True)
    assert abs(len(guessed) - len(given)) < 0.25 * len(given)
    assert torch.equal(run_lengths(guessed)[0], run_lengths(given)[0])
    with pytest.raises(ValueError, match="a duration is 0 frames, expected at least 1"):
        frames_to_speak(network, codes, torch.zeros(len(codes)))
    with pytest.raises(ValueError, match="does not predict durations"):
        frames_to_speak(vocoder(), codes, without_repetitions=True)
    with pytest.raises(ValueError, match="expected one for each"):
        frames_to_speak(network, codes, torch.ones(len(codes) + 1))


def test_padding_reaches_no_duration():
    torch.manual_seed(0)
    predictor = DurationPredictor(5, 8, 3, 0.5).eval()
    x, lens = torch.randn(2, 9, 5), torch.tensor([9, 4])
    found = predictor(x, lens)
    torch.testing.assert_close(found[1, :4], predictor(x[1:, :4], lens[1:])[0])
    x[1, 4:] = float("nan")
    assert torch.equal(predictor(x, lens)[1, :4], found[1, :4])
    assert durations_of(torch.tensor([-3.0, 0.0, math.log(4.4)])).tolist() == [1, 1, 3]
    exact = torch.tensor([[3.0, 1.0]])
    assert float(duration_loss((exact + 1).log(), exact.long(), torch.tensor([2]))) == 0.0


def test_a_split_is_said_cut_by_cut(folder, tmp_path):
    trainer, _ = make_trainer(folder, tmp_path)
    cuts, spec = load_feature_cuts(folder / "features" / "test.jsonl.gz")
    network, targets = trainer.system.network.eval(), trainer.system.targets
    files = VocoderFiles(tmp_path, "x")
    trained = Trained(tmp_path, None, spec, targets, network)
    files.heard_voices("test").write_text("of what was said before")
    facts = VocoderPrediction().predict("test", trained, cuts, SynthesisConfig(), RunConfig(), files)
    lines = read_said(files.said("test"))
    assert not files.heard_voices("test").exists()
    assert facts["num_utterances"] == len(lines) == 2 and [line.voice for line in lines] == list(SPEAKERS)
    for line, cut in zip(lines, sorted(cuts, key=lambda cut: cut.id)):
        assert soundfile.info(tmp_path / line.audio).frames == cut.num_samples
    asked, others = SynthesisConfig(voice=SPEAKERS[1]), VocoderFiles(tmp_path, "x_voice")
    VocoderPrediction().predict("test", trained, cuts, asked, RunConfig(), others)
    changed = read_said(others.said("test"))
    assert [line.voice for line in changed] == [SPEAKERS[1]] * 2
    own, other = ([soundfile.read(tmp_path / line.audio)[0] for line in listed] for listed in (lines, changed))
    assert (own[1] == other[1]).all() and abs(own[0] - other[0]).max() > 1e-3
    assert VocoderPrediction().noted(asked) == {"voice": SPEAKERS[1]}
    with pytest.raises(ValueError, match="unknown speaker 'nobody'"):
        VocoderPrediction().predict("test", trained, cuts, SynthesisConfig(voice="nobody"), RunConfig(), files)


@pytest.mark.parametrize(("size", "millions", "spec"), [("vocos", 3.3, MELS), ("unit_hifigan", 13.7, ALONE)])
def test_recipe_and_sizes_build(size, millions, spec):
    path = CONF_DIR / "recipes" / "vocoder.json"
    settings = read_settings(path, size, [], SimpleNamespace())
    assert TrainSettings.from_dict(settings.to_dict(), str(path)) == settings
    network = build_vocoder(settings.model, spec, 6)
    found = sum(value.numel() for value in network.generator.parameters()) / 1e6
    assert found == pytest.approx(millions, rel=0.1)
    assert set(vocoder_stages.SECTIONS) == {*TrainSettings.sections(), "average", "synthesis"}


def test_what_is_said_is_measured_and_heard(folder, tmp_path):
    """Recordings that come back as they were are at no distance; one word in six is heard otherwise."""
    cuts, spec = load_feature_cuts(folder / "features" / "test.jsonl.gz")
    files = VocoderFiles(tmp_path, "x")
    files.audio("test").mkdir()
    lines = []
    for cut in cuts:
        name = f"{files.audio('test').name}/{cut.id}.flac"
        write_flac(tmp_path / name, load_samples(cut, spec.sample_rate_hz).numpy(), spec.sample_rate_hz)
        lines.append(f"{cut.id}\t{name}\tanna\n")
    files.said("test").write_text("".join(lines))
    scored = score_speech("test", files, folder / "features", ScoringRules())
    assert scored["num_utterances"] == 2 and scored["num_not_measured"] == 0 and "wer" not in scored
    page = files.page("test").read_text()
    assert page.count("<audio") == 4 and 'src="audio-test-x/test-0.flac"' in page
    assert scored["mel_distance"]["value"] == pytest.approx(0.0, abs=1e-3) and scored["ffe"]["rate"] == 0.0
    write_heard(files.heard("test"), [Heard("test-0", "la la", "la lo"), Heard("test-1", "la", "la")])
    scored = score_speech("test", files, folder / "features", ScoringRules())
    assert scored["dwer"]["rate"] == pytest.approx(100 / 3, abs=0.01)
    assert (scored["wer"]["rate"], scored["wer_original"]["rate"]) == (50.0, 50.0)
    assert scored["languages"]["not known"]["dwer"]["rate"] == scored["dwer"]["rate"]
    assert "speaker_accuracy" not in scored
    voices = [HeardVoice("test-0", "anna", "otto", "anna", "otto", "0.5"), HeardVoice("test-1", "", "otto", "", "anna")]
    write_heard_voices(files.heard_voices("test"), voices)
    scored = score_speech("test", files, folder / "features", ScoringRules())
    assert (scored["speaker_accuracy"]["rate"], scored["speaker_accuracy_original"]["rate"]) == (50.0, 100.0)
    assert scored["speaker_similarity"]["value"] == 0.5 and "speaker_accuracy" in scored["languages"]["not known"]
    files.heard_voices("test").write_text("test-0\tanna\tanna\tanna\tanna\tvery\n")
    with pytest.raises(ValueError, match="1: a similarity of 'very', expected a number; make it again"):
        read_heard_voices(files.heard_voices("test"))
    files.heard_voices("test").write_text("test-0\tanna\n")
    with pytest.raises(ValueError, match="1: 2 columns, expected 6; make it again"):
        read_heard_voices(files.heard_voices("test"))
    files.heard_voices("test").unlink()
    files.said("test").write_text("elsewhere\ta.flac\tanna\n")
    with pytest.raises(ValueError, match="cut elsewhere is not in"):
        score_speech("test", files, folder / "features", ScoringRules())
    files.said("test").write_text("test-0\t../a.flac\tanna\n")
    with pytest.raises(ValueError, match="it leaves its folder"):
        read_said(files.said("test"))
