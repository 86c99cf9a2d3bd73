"""Audio to text is what the stages give through manifests: same codes, same hypotheses; bad files do not stop it."""

import numpy as np
import pytest
import soundfile
import torch
import toy_corpus

from icefall_discrete.data.cuts import load_frames
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.inference import transcriber as transcriber_module
from icefall_discrete.inference.audio_files import AudioConfig, BadAudio, open_audio, read_samples
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.recogs import read_recogs
from icefall_discrete.systems.asr.transcription import Failure, Transcription
from icefall_discrete.systems.prediction import RunConfig

RATE = 16000
LAST_EPOCH = CheckpointChoice(avg=1, use_averaged_model=False)
ALONE = 0.01  # a batch of this many seconds holds one utterance


def make(work, method="modified_beam_search", max_duration=200.0, **audio):
    decode = DecodeConfig(decoding_method=method, beam_size=2)
    run = RunConfig(max_duration=max_duration, device="cpu")
    return Transcriber(work / "exp", LAST_EPOCH, decode, run, AudioConfig(**audio))


@pytest.fixture(scope="module")
def transcriber(work):
    return make(work)


def codes_of(transcriber, file):
    samples = read_samples(open_audio(str(file)), RATE)
    (piece,) = transcriber._encode(samples, str(file))
    return piece.frames.numpy()


def decoded_by_stage(work, split, method):
    flags = ("--exp-dir", work / "exp", "--feature-dir", work / "features", "--recipe-config", work / "recipe.json")
    toy_corpus.run_stage_script("decode.py", *flags, "--splits", split, "--decoding-method", method)
    (recogs,) = (work / "exp" / method).glob(f"recogs-{split}-*.txt")
    return {transcript.cut_id: " ".join(transcript.hyp) for transcript in read_recogs(recogs)}


@pytest.mark.parametrize("method", ["greedy_search", "modified_beam_search", "ctc_greedy_search"])
def test_same_as_extraction_and_decoding_by_manifests(work, files, features_of, method):
    cuts, spec = features_of("test", files)
    transcriber = make(work, method)
    by_id = {cut.id: cut for cut in cuts}
    for file in files:
        np.testing.assert_array_equal(codes_of(transcriber, file), load_frames(by_id[file.stem], spec))
    expected = decoded_by_stage(work, "test", method)
    found = list(transcriber.transcribe(files))
    assert [outcome.file for outcome in found] == [str(file) for file in files]
    assert {file.stem: outcome.text for file, outcome in zip(files, found)} == expected
    spoken = [torch.from_numpy(load_frames(by_id[file.stem], spec)).long() for file in files]
    assert transcriber.texts_of_codes(spoken) == [expected[file.stem] for file in files]
    assert len(set(expected.values())) == len(files) and all(expected.values()), "too little text for a comparison"


def test_other_rates_are_resampled_as_by_extraction(work, transcriber, features_of, voice, tmp_path):
    soundfile.write(tmp_path / "low.wav", voice[::2], 8000)
    time = np.arange(int(44100 * len(voice) / RATE)) / 44100
    soundfile.write(tmp_path / "high.flac", np.interp(time, np.arange(len(voice)) / RATE, voice), 44100)
    files = [tmp_path / "low.wav", tmp_path / "high.flac"]
    cuts, spec = features_of("rates", files, "--resample", "1")
    for cut, file in zip(cuts, files):
        np.testing.assert_array_equal(codes_of(transcriber, file), load_frames(cut, spec))
    expected = decoded_by_stage(work, "rates", "modified_beam_search")
    found = list(transcriber.transcribe(files))
    assert [outcome.text for outcome in found] == [expected["low"], expected["high"]]
    for outcome in found:
        assert outcome.duration_sec == pytest.approx(len(voice) / RATE, abs=1e-4)


def test_stereo_is_mixed_or_one_channel_is_taken(work, transcriber, voice, files, tmp_path):
    # Multiples of 2 ^ -14, so that the 16-bit file and the mean of two channels hold them exactly.
    left = np.round(voice * 2**14) / 2**14 / 2
    right = np.roll(left, 4000)
    for name, channels in {"left": [left], "same": [left, left], "both": [left, right]}.items():
        soundfile.write(tmp_path / f"{name}.wav", np.stack(channels, axis=1), RATE, subtype="PCM_16")
    mono, same = transcriber.transcribe([tmp_path / "left.wav", tmp_path / "same.wav"])
    assert mono.text == same.text and mono.score == pytest.approx(same.score, abs=1e-3)
    both = open_audio(str(tmp_path / "both.wav"))
    np.testing.assert_array_equal(read_samples(both, RATE, 0), left.astype(np.float32))
    np.testing.assert_array_equal(read_samples(both, RATE, 1), right.astype(np.float32))
    np.testing.assert_array_equal(read_samples(both, RATE), ((left + right) / 2).astype(np.float32))
    outcome, stereo = make(work, channel=1).transcribe([files[0], tmp_path / "both.wav"])
    assert isinstance(outcome, Failure) and "has 1 channels, so there is no channel 1" in outcome.message
    assert stereo.text == transcriber.transcribe_samples(torch.from_numpy(right.astype(np.float32))).text


def test_batch_is_as_alone_and_windows_keep_the_order(work, transcriber, files, monkeypatch):
    together = list(transcriber.transcribe(files))
    monkeypatch.setattr(transcriber_module, "BATCHES_AHEAD", 0)  # a window for each file
    alone = list(make(work, max_duration=ALONE).transcribe(files))
    assert [outcome.text for outcome in alone] == [outcome.text for outcome in together]
    for one, other in zip(alone, together):
        assert one.score == pytest.approx(other.score, abs=1e-2)
        assert one.words == other.words


def test_long_file_is_its_segments(work, voice, tmp_path):
    long = np.concatenate([voice, np.zeros(8000), 0.5 * voice, np.zeros(12800), voice[:20000]]).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", long, RATE, subtype="FLOAT")
    transcriber = make(work, max_duration=ALONE, max_segment_sec=2.6)
    (whole,) = transcriber.transcribe([tmp_path / "long.wav"])
    assert len(whole.segments) == 3
    assert whole.segments[0].start_sec == 0.0 and whole.segments[-1].end_sec == whole.duration_sec == len(long) / RATE
    for before, after in zip(whole.segments, whole.segments[1:]):
        assert before.end_sec == after.start_sec
    texts = []
    for number, segment in enumerate(whole.segments):
        file = tmp_path / f"{number}.wav"
        span = slice(round(segment.start_sec * RATE), round(segment.end_sec * RATE))
        soundfile.write(file, long[span], RATE, subtype="FLOAT")
        (alone,) = transcriber.transcribe([file])
        assert (segment.text, segment.score) == (alone.text, alone.score)
        for mine, theirs in zip(segment.words, alone.words):
            assert mine.start_sec == pytest.approx(theirs.start_sec + segment.start_sec)
            assert segment.start_sec <= mine.start_sec < mine.end_sec <= segment.end_sec
        texts.append(alone.text)
    assert whole.text == " ".join(texts) and whole.score == sum(segment.score for segment in whole.segments)


def test_segments_are_those_of_training_unless_set(work, transcriber):
    assert transcriber.max_segment_sec == 20.0
    assert make(work, max_segment_sec=7.5).max_segment_sec == 7.5


def write_bad_files(folder, good):
    """Files that cannot be transcribed, and a part of what is said of each."""
    nan = soundfile.read(good, dtype="float32")[0]
    nan[100:103] = np.nan
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not audio")
    (folder / "folder.wav").mkdir()
    soundfile.write(folder / "nothing.wav", np.zeros(0), RATE)
    soundfile.write(folder / "short.wav", np.zeros(300), RATE)
    soundfile.write(folder / "nan.wav", nan, RATE, subtype="FLOAT")
    soundfile.write(folder / "loud.wav", 1000 * np.ones(RATE), RATE, subtype="FLOAT")
    soundfile.write(folder / "cut.flac", np.random.default_rng(0).uniform(-1, 1, RATE), RATE)
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:9000])
    for name in ("half.wav", "half.mp3", "half.ogg"):
        soundfile.write(folder / name, np.random.default_rng(0).uniform(-1, 1, 2 * RATE), RATE)
        (folder / name).write_bytes((folder / name).read_bytes()[: (folder / name).stat().st_size // 2])
    return {
        "half.wav": "it holds less or more audio than its header announces: 31978 bytes (1.00 s) of 64000 (2.00 s)",
        "half.mp3": "it holds less or more audio than its header announces",
        "half.ogg": "it is cut short",
        "missing.wav": "the file does not exist",
        "empty.wav": "the file is empty (0 bytes)",
        "text.wav": "cannot be read as audio: ",
        "folder.wav": "this is a folder",
        "nothing.wav": "0 samples",
        "short.wav": "0.0187 s of audio is too short for small_km, which needs 0.0250 s",
        "nan.wav": "3 of 32000 samples are NaN or infinite",
        "loud.wav": "the audio reaches 1000",
        "cut.flac": "cannot be read as audio: ",
    }


def test_bad_files_are_named_and_the_others_go_on(transcriber, files, tmp_path):
    said = write_bad_files(tmp_path, files[0])
    paths = []
    for number, name in enumerate(said):
        paths += [files[number % len(files)], tmp_path / name]
    found = list(transcriber.transcribe(paths))
    assert [outcome.file for outcome in found] == [str(path) for path in paths]
    expected = {outcome.file: outcome.text for outcome in transcriber.transcribe(files)}
    for outcome, (name, part) in zip(found[1::2], said.items()):
        assert isinstance(outcome, Failure), name
        assert outcome.message.startswith(str(tmp_path / name)) and part in outcome.message
        assert "\n" not in outcome.message and len(outcome.message) < 500
    for outcome in found[0::2]:
        assert isinstance(outcome, Transcription) and outcome.text == expected[outcome.file]


def test_samples_that_cannot_be_used_are_an_error(transcriber):
    with pytest.raises(BadAudio, match=r"^microphone: 0\.0000 s of audio is too short"):
        transcriber.transcribe_samples(torch.zeros(0), "microphone")


def test_unknown_method_is_refused_before_anything_is_read(work):
    with pytest.raises(ValueError, match="unknown decoding method 'magic'"):
        make(work / "nowhere", "magic")


def test_phrases_of_a_file_are_found_by_its_name(work, transcriber, files, tmp_path):
    (tmp_path / "phrases.json").write_text(f'{{"{files[1].stem}": ["mañana"]}}')
    plain = [outcome.text for outcome in transcriber.transcribe(files)]
    decode = DecodeConfig(
        decoding_method="modified_beam_search",
        beam_size=2,
        context_file=str(tmp_path / "phrases.json"),
        context_score=30.0,
    )
    run = RunConfig(device="cpu")
    biased = [outcome.text for outcome in Transcriber(work / "exp", LAST_EPOCH, decode, run).transcribe(files)]
    assert "mañana" in biased[1] and "mañana" not in plain[1]
    assert biased[:1] + biased[2:] == plain[:1] + plain[2:]
