"""A file holds as much audio as its header announces, or is decoded whole, or is named; in every format."""

import struct

import numpy as np
import pytest
import soundfile
from lhotse import AudioSource, Recording

from icefall_discrete.audio.reading import UnreadableAudio, load_samples, open_recording
from icefall_discrete.audio.sound_files import examine

RATE = 16000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "alaw.wav": ("WAV", "ALAW"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "x.wav": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@pytest.fixture(scope="module")
def voice(speech):
    """Four seconds, the first of them silent, so that the bit rate of an MP3 cannot be told from its beginning."""
    return np.concatenate([np.zeros(RATE, np.float32), np.tile(speech, 2)[: 3 * RATE]])


@pytest.fixture
def write(voice, tmp_path):
    def _write(suffix):
        path = tmp_path / f"a.{suffix}"
        kind, subtype = FORMATS[suffix]
        mode = {"bitrate_mode": "VARIABLE", "compression_level": 0.5} if kind == "MP3" else {}
        soundfile.write(path, voice, RATE, format=kind, subtype=subtype, **mode)
        return path

    return _write


def without_length(path):
    """The MP3 without its first frame, which knows its length."""
    data = path.read_bytes()
    first = data.index(data[:2], 200)
    path.write_bytes(data[first:])
    return path


def refused(path):
    """What is said of a file; it must not be read as if nothing were wrong."""
    with pytest.raises(UnreadableAudio) as caught:
        load_samples(open_recording(path, "a").to_cut(), RATE)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_whole_file_is_read_as_before(suffix, write):
    path = write(suffix)
    expected = soundfile.read(path, dtype="float32")[0]
    recording = open_recording(path, "a")
    assert recording.num_samples == len(expected) >= 4 * RATE
    # The last bit of a decoded MP3 depends on where in memory it is put.
    rounding = 3e-7 if suffix == "mp3" else 0.0
    np.testing.assert_allclose(load_samples(recording.to_cut(), RATE).numpy(), expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("suffix", FORMATS)
def test_half_a_file_is_named(suffix, write):
    path = write(suffix)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) * 2 // 3 + 1):
        path.write_bytes(data[:size])
        said = refused(path)
        assert "announces" in said or "cut short" in said or "malformed" in said, said


def test_half_a_file_is_named_through_a_manifest_that_says_half(write):
    for suffix in ("wav", "ogg", "mp3"):
        path = write(suffix)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        half = soundfile.info(path).frames // (2 if suffix == "mp3" else 1)
        source = AudioSource("file", [0], str(path))
        cut = Recording("a", [source], RATE, half, half / RATE).to_cut()
        with pytest.raises(UnreadableAudio, match=rf"^cut a: cannot read .*a\.{suffix}: it (holds less|is cut short)"):
            load_samples(cut, RATE)


def test_half_of_a_short_file_is_not_padded(write, voice):
    path = write("wav")
    soundfile.write(path, voice[-RATE // 2 :], RATE)
    cut = open_recording(path, "a").to_cut()
    soundfile.write(path, voice[-RATE // 4 :], RATE)
    with pytest.raises(UnreadableAudio, match="it holds less or more audio than its manifest says"):
        load_samples(cut, RATE)


def with_sizes(path, riff, data_size):
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8], data[place : place + 4] = struct.pack("<I", riff), struct.pack("<I", data_size)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "size", [0, 2**32 - 1, 2**32 - 37, 2**31 - 1, 2**31, 2**31 - 4096 - 36], ids=lambda size: f"{size:x}"
)
def test_a_wav_from_a_pipe_is_decoded_whole(size, write):
    path = write("wav")
    expected = soundfile.read(path, dtype="float32")[0]
    with_sizes(path, min(size, 2**32 - 1), size)
    recording = open_recording(path, "a")
    assert recording.num_samples == len(expected)
    cut = recording.to_cut()
    assert np.array_equal(load_samples(cut, RATE).numpy(), expected)
    part = cut.truncate(offset=1.5, duration=1.0)
    assert np.array_equal(load_samples(part, RATE).numpy(), expected[24000:40000])


def test_a_header_that_announces_less_than_there_is_is_named(write):
    path = write("wav")
    assert "128000 bytes (4.00 s) of 64000 (2.00 s)" in refused(with_sizes(path, 64036, 64000))
    path = write("flac")
    data = bytearray(path.read_bytes())
    data[22:26] = struct.pack(">I", 2 * RATE)
    path.write_bytes(data)
    assert "64000 samples (4.00 s) of 32000 (2.00 s)" in refused(path)
    path = write("au")
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack(">I", 64000)
    path.write_bytes(data)
    assert "128000 bytes (4.00 s) of 64000" in refused(path)


def test_a_flac_without_a_length_is_decoded_whole(write):
    path = write("flac")
    expected = soundfile.read(path, dtype="float32")[0]
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    recording = open_recording(path, "a")
    assert recording.num_samples == len(expected)
    assert np.array_equal(load_samples(recording.to_cut(), RATE).numpy(), expected)
    path.write_bytes(data[: len(data) // 2])
    assert "cut short after" in refused(path)


def test_an_mp3_without_a_length_is_decoded_whole(write, voice):
    path = without_length(write("mp3"))
    assert soundfile.info(path).frames > 2 * len(voice), "the estimate should be far off"
    recording = open_recording(path, "a")
    assert 0 <= recording.num_samples - len(voice) < 2000
    samples = load_samples(recording.to_cut(), RATE).numpy()
    assert len(samples) == recording.num_samples
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "cut short after" in refused(path)


def test_two_files_behind_one_another_are_named(write):
    for suffix in ("ogg", "opus", "mp3"):
        path = write(suffix)
        path.write_bytes(path.read_bytes() * 2)
        assert "several streams" in refused(path) or "(8." in refused(path) or "(7." in refused(path)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus", "mp3"])
def test_what_follows_the_audio_is_not_decoded(suffix, write):
    path = write(suffix)
    frames = examine(path).frames
    with open(path, "ab") as stream:
        stream.write(np.random.default_rng(0).integers(0, 256, 7001, dtype=np.uint8).tobytes())
    recording = open_recording(path, "a")
    assert recording.num_samples == frames == len(load_samples(recording.to_cut(), RATE))


def test_chunks_and_silence_behind_the_samples_are_no_audio(write):
    path = write("wav")
    frames = examine(path).frames
    with open(path, "ab") as stream:
        stream.write(b"LIST" + struct.pack("<I", 5000) + b"x" * 5000 + bytes(9000))
    assert open_recording(path, "a").num_samples == frames


def test_an_empty_wav_with_a_chunk_behind_it_is_empty(write):
    path = write("wav")
    data = path.read_bytes()
    start = data.index(b"data") + 4
    path.write_bytes(data[:start] + struct.pack("<I", 0) + b"LIST" + struct.pack("<I", 5000) + b"x" * 5000)
    assert refused(path) == "the file holds no audio (0 samples)"


LIST = b"LIST" + struct.pack("<I", 20013) + b"INFOISFT" + struct.pack("<I", 20001) + b"a" * 20001
ID3 = b"ID3\3\0\0\0\0\x27\x08" + b"a" * 5000
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 2000, 1, 0xA0000000) + bytes(8) + b"k" * 2000
TAG = b"TAG" + b"a" * 125
BEHIND = {"list": LIST, "id3": ID3, "ape": APE, "tag": TAG, "all": LIST + ID3 + APE + TAG, "padded": LIST + b"\0" + ID3}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_tags_behind_the_samples_are_no_audio_be_they_padded_or_not(behind, write):
    path = write("wav")
    data = path.read_bytes()
    frames = examine(path).frames
    path.write_bytes(data + behind)
    assert open_recording(path, "a").num_samples == frames
    path.write_bytes(with_sizes(path, 36, 0).read_bytes()[: data.index(b"data") + 8] + behind)
    assert refused(path) == "the file holds no audio (0 samples)"
    soundfile.write(path, np.linspace(-0.5, 0.5, RATE + 1), RATE, subtype="PCM_U8")
    data = path.read_bytes()[: path.read_bytes().index(b"data") + 8 + RATE + 1]
    for pad in (b"", b"\0"):
        path.write_bytes(data + pad + behind)
        assert open_recording(path, "a").num_samples == RATE + 1


def test_an_empty_wav_whose_chunk_behind_is_cut_short_is_empty(write):
    path = write("wav")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"data") + 4] + bytes(4) + LIST[:9001])
    assert refused(path) == "the file holds no audio (0 samples)"


def test_a_tag_behind_a_format_without_chunks_is_no_audio(write):
    path = write("au")
    frames = examine(path).frames
    path.write_bytes(path.read_bytes() + ID3 + TAG)
    assert open_recording(path, "a").num_samples == frames


def test_a_stream_that_begins_with_a_minute_of_silence_is_decoded_whole(write):
    path = write("wav")
    soundfile.write(path, np.concatenate([np.zeros(RATE * 40), np.full(RATE, 0.5)]), RATE)
    assert open_recording(with_sizes(path, 36, 0), "a").num_samples == 41 * RATE
    assert "(41.00 s) of 64000" in refused(with_sizes(path, 64036, 64000))


@pytest.mark.parametrize("sizes", [(64000, 64000), (0, 64000), (64000, 0)])
@pytest.mark.parametrize("between", [b"", LIST + b"\0"], ids=["", "list"])
def test_a_wav_of_several_data_chunks_is_refused(sizes, between, write):
    path = write("wav")
    head, samples = path.read_bytes()[:36], bytes(range(250)) * 256
    first, second = (b"data" + struct.pack("<I", size) + samples[:size] for size in sizes)
    path.write_bytes(head + first + between + second)
    assert "it holds several data chunks, of which only the first would be read" in refused(path)


@pytest.mark.parametrize(
    "kind, subtype", [("WAV", "GSM610"), ("AIFF", "GSM610"), ("W64", "GSM610"), ("XI", "DPCM_16"), ("XI", "DPCM_8")]
)
def test_a_format_that_can_only_be_read_from_its_beginning_is_read(kind, subtype, voice, tmp_path):
    path = tmp_path / f"a.{kind.lower()}"
    soundfile.write(path, voice, 8000, format=kind, subtype=subtype)
    with soundfile.SoundFile(path) as stream:
        assert not stream.seekable()
        rate, expected = stream.samplerate, stream.read(stream.frames, dtype="float32")
    recording = open_recording(path, "a")
    assert recording.num_samples == len(expected) >= len(voice)
    cut = recording.to_cut()
    assert np.array_equal(load_samples(cut, rate).numpy(), expected)
    part = cut.truncate(offset=0.5, duration=0.25)
    assert np.array_equal(load_samples(part, rate).numpy(), expected[rate // 2 : rate // 2 + rate // 4])
    if kind != "XI":  # which does not say how long it is
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        assert "announces" in refused(path) or "cut short" in refused(path)


def test_an_mp3_that_counts_its_tags_is_whole_and_one_that_says_frames_alone_is_checked(write):
    path = write("mp3")
    data = bytearray(path.read_bytes())
    frames = examine(path).frames
    place = data.index(b"Xing")
    data[place + 8 + 4 : place + 8 + 8] = struct.pack(">I", len(data) + 9000)
    path.write_bytes(b"ID3\x03\0\0\0\0\x46\x28" + bytes(9000) + data)
    assert open_recording(path, "a").num_samples == frames
    data[place + 4 : place + 8] = struct.pack(">I", 1)
    path.write_bytes(data)
    assert open_recording(path, "a").num_samples >= frames
    path.write_bytes(data[: len(data) // 2])
    assert "it holds less or more audio" in refused(path)


def test_a_header_may_announce_any_number(write):
    path = write("flac")
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    assert "64000 samples (4.00 s) of 68719476735 " in refused(path)


def test_a_flac_behind_a_tag_is_read(write):
    path = write("flac")
    expected = soundfile.read(path, dtype="float32")[0]
    path.write_bytes(b"ID3\x03\0\0\0\0\x01\0" + bytes(128) + path.read_bytes())
    assert np.array_equal(load_samples(open_recording(path, "a").to_cut(), RATE).numpy(), expected)


def test_rates_that_no_audio_has_are_refused(write):
    path = write("wav")
    data = bytearray(path.read_bytes())
    for rate in (1, 900, 2_000_000_000):
        data[24:28] = struct.pack("<I", rate)
        path.write_bytes(data)
        assert f"its rate is {rate} Hz, expected 1000 to 768000 Hz" in refused(path)


def test_what_is_no_audio_is_said(tmp_path):
    (tmp_path / "empty.mp3").write_bytes(b"")
    (tmp_path / "page.mp3").write_text("\n<!DOCTYPE html><title>404</title>")
    (tmp_path / "folder.mp3").mkdir()
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), RATE)
    assert refused(tmp_path / "empty.mp3") == "the file is empty (0 bytes)"
    assert refused(tmp_path / "page.mp3") == "it is a page of the web, not audio: fetch it again"
    assert refused(tmp_path / "folder.mp3") == "it is not a file"
    assert refused(tmp_path / "nothing.wav") == "the file holds no audio (0 samples)"
