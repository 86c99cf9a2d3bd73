"""Who speaks and how alike voices are, by classifiers of ours: measured beside reconstruction, and what is refused."""

import json
import logging
import shutil

import pytest
import torch
from toy_corpus import run_stage_script
from toy_speech import SPEAKERS, SPEC, make_experiment, write_speech

from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.extraction.audio_figures import AudioSource
from icefall_discrete.inference import resynthesis_command
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.voice_judge import VoiceJudge, VoiceJudges, load_voice_judges
from icefall_discrete.systems.vocoder.files import METHOD, Said, VocoderFiles, write_said
from icefall_discrete.systems.vocoder.heard import read_heard_voices
from icefall_discrete.tokenizers import load_tokenizer

RECIPE = {
    "system": "classification",
    "target": {"fact": "speaker"},
    "model": {"encoder": {"kind": "identity", "in_dim": 8}, "front_end": "identity", "embedding_dim": 8},
    "average": {"avg": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Toy speech, a classifier of its speakers in C that has learnt nothing, a vocoder in V, one of C's input in D."""
    folder = write_speech(tmp_path_factory.mktemp("judge"), num_train=2)
    (folder / "small_dmel.json").write_text(json.dumps({"tokenizer": "dmel", "num_mel_bins": 8}))
    tokenizer = load_tokenizer(folder / "small_dmel.json")
    make_experiment(folder / "C", tokenizer.spec, recipe=RECIPE)
    save_tokenizer(tokenizer, folder / "C")
    make_experiment(folder / "V", SPEC)
    make_experiment(folder / "D", tokenizer.spec)
    save_tokenizer(tokenizer, folder / "D")
    return folder


@pytest.fixture(scope="module")
def judge(folder):
    return VoiceJudge(folder / "C")


def some_audio(seed=0):
    return 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(seed))


def test_audio_is_like_itself_and_less_like_other_audio(judge):
    assert judge.classes.names == list(SPEAKERS) and judge.answer(some_audio()) in SPEAKERS
    assert judge.similarity(some_audio(), some_audio()) == pytest.approx(1.0, abs=1e-6)
    tone = 0.1 * torch.sin(torch.arange(8000) / 20)
    assert judge.similarity(some_audio(), tone) < 0.999
    with pytest.raises(BadAudio, match="a: 3 samples are too short"):
        judge.embedding(torch.zeros(3), "a")


def test_the_class_that_counts_is_asked_for_or_known_or_heard(judge, folder):
    cuts, files = AudioSource(folder / "features" / "test.jsonl.gz"), AudioSource(folder / "audio")
    heard = {name: judge.answer(cuts.samples(name, judge.sample_rate_hz).float()) for name in cuts.names}
    for name, speaker in zip(cuts.names, SPEAKERS):
        found = VoiceJudges(judge, judge).figures(name, cuts, cuts)
        assert found["speaker_similarity"] == pytest.approx(1.0, abs=1e-6)
        assert found["speaker_accuracy"] == 100.0 * (heard[name] == speaker)
        assert VoiceJudges(None, judge).figures(name, files, cuts) == {"speaker_accuracy": 100.0}
        asked = VoiceJudges(None, judge, "otto").figures(name, files, cuts)
        assert asked == {"speaker_accuracy": 100.0 * (heard[name] == "otto")}
    assert VoiceJudges().figures("test-0", cuts, cuts) == {}


def test_the_stage_measures_voices(folder, tmp_path):
    reference = folder / "features" / "test.jsonl.gz"
    flags = ("--reference", reference, "--estimate", reference, "--judges", "", "--output", tmp_path / "out.json")
    run_stage_script(
        "measure_audio.py", *flags, "--verifier-exp-dir", folder / "C", "--classifier-exp-dir", folder / "C"
    )
    scored = json.loads((tmp_path / "out.json").read_text())["sets"]["test"]
    assert scored["speaker_similarity"]["value"] == pytest.approx(1.0, abs=1e-4)
    assert scored["speaker_accuracy"]["rate"] in (0.0, 50.0, 100.0)


def test_vectors_of_speakers_are_means_of_their_recordings(folder, judge, tmp_path):
    cuts = folder / "features" / "train.jsonl.gz"
    flags = ("--verifier-exp-dir", folder / "C", "--cuts", cuts)
    run_stage_script("embed_voices.py", *flags, "--output", tmp_path / "voices.safetensors")
    voices, source = VoiceVectors.read(tmp_path / "voices.safetensors"), AudioSource(cuts)
    for speaker in SPEAKERS:
        names = [name for name in source.names if source.fact(name, "speaker") == speaker]
        heard = [judge.embedding(source.samples(name, judge.sample_rate_hz).float(), name) for name in names]
        mean = torch.stack([one / one.norm() for one in heard]).mean(dim=0)
        assert torch.allclose(voices.of(speaker), mean / mean.norm(), atol=1e-5)
    with pytest.raises(ValueError, match=r"the voice 'ottto' is none of the 2 .* did you mean otto"):
        voices.of("ottto")


def said_otherwise(folder, exp_dir, **settings):
    """Files of a split as a decoding with settings leaves it; each cut is said as the other one is recorded."""
    files = VocoderFiles(exp_dir / METHOD, "x")
    files.audio("test").mkdir(parents=True)
    names = ("test-0", "test-1")
    for name, other in zip(names, reversed(names)):
        shutil.copy(folder / "audio" / f"{other}.wav", files.audio("test") / f"{name}.wav")
    write_said(files.listed("test"), [Said(name, f"{files.audio('test').name}/{name}.wav", "-") for name in names])
    write_json(files.record("test"), {"made_from": Provenance({}, settings).to_json()})
    write_json(files.pointer, {"suffix": "x", "splits": ["test"]})
    return files


def test_voices_of_a_split_are_told_for_scoring(folder, judge, tmp_path):
    """What is written is what the models say, of the class that is asked for, or of the voice in which all is said."""
    cuts = AudioSource(folder / "features" / "test.jsonl.gz")
    samples = [cuts.samples(f"test-{number}", judge.sample_rate_hz).float() for number in range(2)]
    heard, alike = [judge.answer(one) for one in samples], f"{judge.similarity(*samples):.6f}"

    def told(name, settings, *flags):
        exp_dir = shutil.copytree(folder / "V", tmp_path / name)
        files = said_otherwise(folder, exp_dir, **settings)
        given = ("--exp-dir", exp_dir, "--feature-dir", folder / "features", "--classifier-exp-dir", folder / "C")
        run_stage_script("judge_voices.py", *given, *flags)
        return [tuple(line) for line in read_heard_voices(files.heard_voices("test"))]

    for name, settings, flags, asked, similarity in (
        ("own", {}, ("--verifier-exp-dir", folder / "C"), SPEAKERS, alike),
        ("voice", {"voice": "otto"}, (), ("otto", "otto"), ""),
        ("asked", {"voice": "o."}, ("--asked", "anna"), ("anna", "anna"), ""),
    ):
        assert told(name, settings, *flags) == [
            ("test-0", "anna", asked[0], heard[0], heard[1], similarity),
            ("test-1", "otto", asked[1], heard[1], heard[0], similarity),
        ]
    with pytest.raises(AssertionError, match=r"all of test is said as o\., which is none of .* \(anna, otto\); name"):
        told("unknown", {"voice": "o."})


def test_a_changed_voice_is_measured_by_the_command_that_changes_it(folder, judge, tmp_path, caplog):
    names = ("test-0", "test-1")
    arguments = ["--exp-dir", folder / "D", "--classifier-exp-dir", folder / "C", "--out", tmp_path]
    arguments = [*map(str, arguments), *(str(folder / "audio" / f"{name}.wav") for name in names)]
    with caplog.at_level(logging.INFO):
        resynthesis_command.main(
            "resynthesise", ["--speaker", "otto", "--verifier-exp-dir", str(folder / "C"), *arguments]
        )
    said, cuts = AudioSource(tmp_path), AudioSource(folder / "features" / "test.jsonl.gz")
    heard = [judge.answer(said.samples(name, judge.sample_rate_hz).float()) for name in names]
    alike = [VoiceJudges(judge).figures(name, cuts, said)["speaker_similarity"] for name in names]
    assert f"speaker %: {100 * heard.count('otto') / 2:.1f}" in caplog.text
    assert f"speaker similarity: {sum(alike) / 2:.3f}" in caplog.text
    with pytest.raises(ValueError, match="no classifier hears 'nobody'"):
        resynthesis_command.main("resynthesise", ["--asked", "nobody", *arguments])


def test_what_hears_no_voice_is_refused(folder):
    with pytest.raises(ValueError, match="V holds a Vocoder, which tells no classes; give a classifier"):
        VoiceJudge(folder / "V")
    with pytest.raises(ValueError, match=r"no classifier hears 'nobody' \(known: anna, otto\)"):
        load_voice_judges(None, folder / "C", "nobody")
    with pytest.raises(ValueError, match=r"no classifier hears 'anna' \(there is no classifier\)"):
        load_voice_judges(None, None, "anna")
    shutil.copytree(folder / "C", folder / "L")
    told = json.loads((folder / "L" / "classes.json").read_text())
    (folder / "L" / "classes.json").write_text(json.dumps({**told, "fact": "keyword"}))
    with pytest.raises(ValueError, match=r"L was trained to tell the keyword of utterances, .* trained on the speaker"):
        load_voice_judges(folder / "L", None)
