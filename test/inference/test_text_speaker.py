"""Texts to sound: class and command, a split that a vocoder says, a page to listen to, and what they refuse."""

import dataclasses
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from toy_speech import RECIPE as VOCODER
from toy_speech import make_experiment
from toy_texts import RECIPE, SPEC, write_texts

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.data.cuts import load_feature_cuts
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference import synthesis_command
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.inference.text_speaker import TextSpeaker
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.prediction import RunConfig, Trained
from icefall_discrete.systems.tts.files import SynthesisFiles
from icefall_discrete.systems.tts.prediction import TtsPrediction
from icefall_discrete.systems.tts.synthesis import SynthesisConfig
from icefall_discrete.systems.vocoder.heard import Heard, HeardVoice, write_heard, write_heard_voices
from icefall_discrete.text.alignments import read_alignments

STAGE = Path(__file__).resolve().parents[2] / "local" / "speak_units.py"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Toy texts; T: texts to units, V: a vocoder of these, W: one of other units."""
    folder = write_texts(tmp_path_factory.mktemp("speaker"), num_train=4)
    make_experiment(folder / "T", SPEC, recipe=RECIPE)
    make_experiment(folder / "V", SPEC, recipe=VOCODER)
    make_experiment(folder / "W", dataclasses.replace(SPEC, codebook_sizes=(12, 9)), recipe=VOCODER)
    return folder


@pytest.fixture(scope="module")
def speaker(corpus):
    return Speaker(corpus / "V")


@pytest.fixture(scope="module")
def texts(corpus, speaker):
    return TextSpeaker(corpus / "T", speaker)


def test_a_class_says_texts(texts):
    units = texts.units("abc de", "anna", "en")
    said = texts.say("abc de", "anna", "en")
    assert units.shape[1] == 2 and said.shape == (160 * len(units),) and said.isfinite().all()
    assert torch.equal(said, texts.say(" ABC  de ", "anna", "en"))


def test_the_command_says_texts_or_tells_why_not(corpus, texts, tmp_path, capsys, caplog):
    both = ["--exp-dir", str(corpus / "V"), "--tts-exp-dir", str(corpus / "T"), "--out", str(tmp_path)]
    given = [*both, "--speaker", "anna", "--language", "fr"]
    synthesis_command.main("synthesise", [*given, "--text", "abc", "--text", "de"])
    printed = capsys.readouterr().out.split()
    assert printed == [str(tmp_path / "text-1.flac"), str(tmp_path / "text-2.flac")]
    assert soundfile.info(printed[0]).frames == len(texts.say("abc", "anna", "fr"))
    for flags, sentence in (
        ([*both, "--speaker", "ana", "--language", "fr", "--text", "ab"], "unknown speaker 'ana'; did you mean anna"),
        (both, "--text and --tts-exp-dir, .* are given together"),
        (both[:2], "there is nothing to say; give files of codes, or --text"),
    ):
        with pytest.raises(ValueError, match=sentence):
            synthesis_command.main("synthesise", flags)
    for flags, sentence in (
        ([*given, "--text", "xy", "--text", "", "--text", "ab"], "text 1: 'x' (U+0078) has no entry"),
        ([*given, "--text", ""], "text 1: nothing of the text can be said: it is empty"),
        ([*both, "--text", "ab"], "text 1: the language of the text is not known; say which it is: en, fr"),
        ([*given, "--text", "a" * 999], "text 1: the text has 1001 symbols, expected at most 1000"),
    ):
        with pytest.raises(SystemExit):
            synthesis_command.main("synthesise", flags)
        assert sentence in caplog.text
    assert "2 of 3 could not be said" in caplog.text and capsys.readouterr().out.split() == [
        str(tmp_path / "text-3.flac")
    ]


def test_a_vocoder_of_other_units_is_refused(corpus, speaker):
    with pytest.raises(ValueError, match=r"the vocoder .*W does not fit the units of .*T: codebook_sizes"):
        TextSpeaker(corpus / "T", Speaker(corpus / "W"))
    with pytest.raises(ValueError, match="V was trained as system 'vocoder', which reads no text"):
        TextSpeaker(corpus / "V", speaker)


def test_a_split_is_said_measured_and_shown(corpus, speaker, texts, tmp_path):
    cuts, spec = load_feature_cuts(corpus / "features" / "test.jsonl.gz")
    files = SynthesisFiles(tmp_path, "x")
    trained = Trained(tmp_path, Experiment(corpus / "T").settings(), spec, texts.targets, texts.network)
    TtsPrediction().predict("test", trained, cuts, SynthesisConfig(), RunConfig(), files)
    runpy.run_path(str(STAGE))["speak"](speaker, "test", files)
    write_heard(files.heard("test"), [Heard(cut.id, cut.supervisions[0].text, "abc <b>") for cut in cuts])
    scored = TtsPrediction().score("test", files, corpus / "features", ScoringRules())
    assert scored["mcd"]["value"] > 0 and scored["wer_original"]["rate"] == 0.0 < scored["wer"]["rate"]
    files.note_heard("test", files.heard("test"))
    write_heard_voices(files.heard_voices("test"), [HeardVoice(cut.id, said="anna", asked="anna") for cut in cuts])
    files.note_heard("test", files.heard_voices("test"))
    scored = TtsPrediction().score("test", files, corpus / "features", ScoringRules())
    assert scored["speaker_accuracy"]["rate"] == 100.0
    page = files.page("test").read_text()
    assert page.count("<audio") == 4 and "abc &lt;b&gt;" in page and "<script" not in page
    for cut in cuts:
        assert cut.supervisions[0].text in page
    of_before = {path: path.read_bytes() for path in tmp_path.glob("*-test-x.tsv*") if path != files.listed("test")}
    runpy.run_path(str(STAGE))["speak"](speaker, "test", files)
    assert len(of_before) == 4 and not any(path.exists() for path in of_before), "said anew, and heard by nobody"
    for path, content in of_before.items():
        path.write_bytes(content)
    assert TtsPrediction().score("test", files, corpus / "features", ScoringRules())["wer"] == scored["wer"]
    write_flac(files.sounding("test")[0], np.zeros(4000, np.float32), speaker.sample_rate_hz)
    with pytest.raises(ValueError, match=r"voices-test-x.tsv tells what was heard in other audio than .* move that"):
        TtsPrediction().score("test", files, corpus / "features", ScoringRules())
    files.heard_voices("test").unlink()
    with pytest.raises(ValueError, match=r"/heard-test-x.tsv tells .*again \(local/hear_speech.py\)"):
        TtsPrediction().score("test", files, corpus / "features", ScoringRules())
    TtsPrediction().predict("test", trained, cuts, SynthesisConfig(speech_rate=2.0), RunConfig(), files)
    assert "wer" not in TtsPrediction().score("test", files, corpus / "features", ScoringRules()), "others were heard"
    with pytest.raises(ValueError, match="does not fit the model"):
        runpy.run_path(str(STAGE))["speak"](Speaker(corpus / "W"), "test", files)
    TtsPrediction().predict("train", trained, cuts, SynthesisConfig(), RunConfig(), files)  # not what lies there
    for used in (
        lambda: TtsPrediction().score("train", files, corpus / "features", ScoringRules()),
        lambda: runpy.run_path(str(STAGE.with_name("hear_speech.py")))["read_units"](
            files, corpus / "features", "train", SimpleNamespace(spec=spec)
        ),
    ):
        with pytest.raises(ValueError, match=rf"cut {next(iter(cuts)).id} is not in .*features; give the folder of"):
            used()
    links = [part.partition('"')[0] for part in page.split('src="')[1:]]
    assert all((tmp_path / link).is_file() for link in links)


@pytest.mark.parametrize(
    "script, exp_dir, sentence",
    [
        ("hear_speech.py", "A", "A says nothing; give the folder of a vocoder, of text to speech or of enhancement"),
        ("speak_units.py", "V", "V tells no units of texts; give the folder of a recipe of system tts"),
        ("sound_codes.py", "V", "V finds no codes; give the folder of an experiment that does"),
        ("speak_units.py", "T", r"last-decoded.json does not exist; decode .*T with --decoding-method synthesis first"),
    ],
)
def test_experiments_of_other_systems_are_told(corpus, monkeypatch, script, exp_dir, sentence):
    (corpus / "A").mkdir(exist_ok=True)
    (corpus / "A" / "config.json").write_text('{"system": "asr"}')
    folders = {"--exp-dir": exp_dir, "--feature-dir": "features", "--recogniser-exp-dir": "A", "--vocoder-exp-dir": "V"}
    lacks = {"hear_speech.py": "--vocoder-exp-dir", "sound_codes.py": "--recogniser-exp-dir"}
    unknown = ("--feature-dir", "--recogniser-exp-dir") if script == "speak_units.py" else (lacks[script],)
    given = [word for flag, name in folders.items() if flag not in unknown for word in (flag, str(corpus / name))]
    monkeypatch.setattr("sys.argv", [script, *given])
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        runpy.run_path(str(STAGE.with_name(script)))["main"]()


def test_alignments_of_a_file_are_taken_split_by_split(corpus, tmp_path, monkeypatch):
    script = STAGE.with_name("align_cuts.py")
    given = ["--alignments", corpus / "lang" / "test.ctm", "--feature-dir", corpus / "features", "--splits", "test,dev"]
    monkeypatch.setattr("sys.argv", [str(script), *map(str, given), "--output-dir", str(tmp_path)])
    stage = runpy.run_path(str(script))
    stage["main"]()
    assert read_alignments(tmp_path / "test.ctm") == read_alignments(corpus / "lang" / "test.ctm")
    assert (tmp_path / "dev.ctm").read_text() == ""
    monkeypatch.setattr("sys.argv", [str(script), *map(str, given[2:]), "--output-dir", str(tmp_path)])
    with pytest.raises(ValueError, match="give either --exp-dir, a recogniser, or --alignments, a file"):
        stage["main"]()
    cut = next(iter(load_feature_cuts(corpus / "features" / "test.jsonl.gz")[0]))
    cut.supervisions[0].text = "Don't, a-b!"
    assert next(iter(stage["in_rule"]([cut], "upper"))).supervisions[0].text == "DON'T A B"
    assert next(iter(stage["in_rule"]([cut], "written"))) is cut
    monkeypatch.setattr("sys.argv", [str(script), *map(str, given[:-1]), "dev", "--output-dir", str(tmp_path / "dev")])
    with pytest.raises(ValueError, match=r"no cut has an alignment: .*test\.ctm knows none of their ids"):
        stage["main"]()
