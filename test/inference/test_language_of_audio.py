"""An experiment whose codes depend on the language is told it with --language, and says so where it is not."""

import json

import pytest
import soundfile
import toy_corpus
from lhotse import MonoCut, Recording, SupervisionSegment

from icefall_discrete.data.cuts import load_cuts, load_frames, write_cuts
from icefall_discrete.inference.audio_files import AudioConfig
from icefall_discrete.inference.transcriber import Transcriber

VALUES = {"tokenizer": "fbank_kmeans_by_language", "num_clusters": 4, "num_mel_bins": 20, "fit_memory_mib": 8}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory, voice, make_experiment):
    """An experiment on codes of two languages, and the audio of one cut in each."""
    work = tmp_path_factory.mktemp("spoken")
    for folder in ("audio", "conf", "manifests"):
        (work / folder).mkdir()
    (work / "conf" / "spoken.json").write_text(json.dumps(VALUES))
    cuts = []
    for language, start in (("en", 0), ("ru", 9000)):
        path = work / "audio" / f"{language}.wav"
        soundfile.write(path, voice[start : start + 320 * 60], 16000)
        recording = Recording.from_file(path)
        said = SupervisionSegment(language, language, 0.0, recording.duration, text="some words", language=language)
        cuts.append(MonoCut(language, 0.0, recording.duration, 0, supervisions=[said], recording=recording))
    write_cuts(work / "manifests" / "toy_cuts_train.jsonl.gz", cuts)
    kind = ("--feature-type", "spoken", "--conf-dir", work / "conf", "--out-dir", work / "features")
    manifest = ("--cuts", work / "manifests" / "toy_cuts_train.jsonl.gz")
    toy_corpus.run_stage_script("fit_tokenizer.py", *kind, *manifest)
    toy_corpus.run_stage_script("extract_codes.py", *kind, *manifest, "--split", "train")
    make_experiment(work)
    return work


def test_the_codes_are_those_of_extraction_in_that_language(spoken):
    cuts = {cut.id: cut for cut in load_cuts(spoken / "features" / "train.jsonl.gz")}
    for language, cut in cuts.items():
        transcriber = Transcriber(spoken / "exp", audio=AudioConfig(language=language))
        path = str(spoken / "audio" / f"{language}.wav")
        (piece,) = transcriber._encode_file(transcriber._opened(path, "")).pieces
        assert piece.frames.tolist() == load_frames(cut, transcriber.spec).tolist()
        (found,) = transcriber.transcribe(path)
        assert found.text


@pytest.mark.parametrize(
    "flags, said",
    [
        ((), "'spoken' has a k-means for each language (en, ru), and that of the audio is not known; say which it is"),
        (("--language", "de"), "'spoken' has no k-means for language 'de', only for en, ru"),
    ],
)
def test_the_command_says_what_is_missing(spoken, console, flags, said):
    status, _, error = console("transcribe", "--exp-dir", spoken / "exp", spoken / "audio" / "en.wav", *flags)
    assert status == 1 and said in error and "(--language)" in error and len(error.strip().splitlines()) == 1


def test_a_language_is_refused_where_codes_do_not_depend_on_it(work, console):
    flags = ("--exp-dir", work / "exp", "--language", "en")
    status, _, error = console("transcribe", *flags, work / "audio" / "utt0.wav")
    assert status == 1 and "language is 'en', but the codes of" in error
