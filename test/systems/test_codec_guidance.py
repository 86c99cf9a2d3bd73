"""What the first codebook of a codec is taught, by frames of a teacher and by letters; nobody pays for it later."""

import dataclasses
import itertools
import json

import pytest
import torch
from toy_fits import SMALL_CODEC

from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.base.tensor_files import read_tensors
from icefall_discrete.experiment.transcription_files import save_tokenizer
from icefall_discrete.losses.distillation import distillation_losses
from icefall_discrete.systems.codec.config import CodecConfig, deciding_settings
from icefall_discrete.systems.codec.guidance import NO_LESSONS, LetterHead, Spoken, make_guidance
from icefall_discrete.systems.codec.lessons import Lessons, LessonSizes, frames_for_letters, with_letters
from icefall_discrete.systems.codec.quantizers import make_quantizer
from icefall_discrete.systems.codec.segments import AudioPool, Places
from icefall_discrete.systems.codec.system import CodecNetwork, CodecSystem, from_folder
from icefall_discrete.systems.codec.trained_codec import FILE_NAME, TrainedCodecTokenizer
from icefall_discrete.systems.codec.training import readable_texts, segment_batches, some_utterances, train_codec
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.training.fit_folder import FitFolder

FBANK = {"kind": "fbank", "num_mel_bins": 6, "frame_shift_sec": 0.01}
TAUGHT = dataclasses.replace(SMALL_CODEC, max_steps=4, checkpoint_steps=2, teacher=FBANK)
READING = dataclasses.replace(TAUGHT, transcript_weight=0.5, transcript_batch_sec=2.0, transcript_dim=4)
KINDS = ("rvq", "factorised", "group")
TEXTS = {"a": "ei, tell", "b": "so", "c": ""}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Read(list):
    """Audio with texts."""

    def texts(self):
        return TEXTS


@pytest.fixture
def audio(speech):
    return Read([(speech[:16000], "a"), (speech[16000:24000], "b"), (speech[24000:31000], "c")])


def lessons_of(lens, frame_rate_hz):
    """Frames that tell their utterance and their number."""
    frames = []
    for number, length in enumerate(lens):
        size = -(-length * frame_rate_hz // 16000)
        frames.append(torch.stack([torch.full((size,), number), torch.arange(size)], dim=1).half())
    return Lessons(frames, float(frame_rate_hz))


@pytest.mark.parametrize("frame_rate_hz", [100, 50, 25])
def test_a_segment_meets_the_frames_of_its_own_time(frame_rate_hz):
    lens = [3200, 9600]
    pool = AudioPool([torch.ones(size, dtype=torch.int16) for size in lens], lessons=lessons_of(lens, frame_rate_hz))
    places = Places(torch.tensor([0, 1, 1]), torch.tensor([0.3, 0.0, 0.9999]))
    frames, heard = pool.taught(places, 6400, 320, 16000)
    assert frames.shape == (3, 20, 2) and heard.sum(dim=1).tolist() == [10, 20, 20]
    assert frames[:, 0, 0].tolist() == [0, 1, 1]
    offset = int(torch.tensor(0.9999) * 3201)
    for row, start in enumerate([0, 0, offset]):
        middles = [(start + 320 * t + 160) * frame_rate_hz // 16000 for t in range(int(heard[row].sum()))]
        assert frames[row, : len(middles), 1].tolist() == middles
    assert (pool.cut(places, 6400)[0, 3200:] == 0).all()


def test_letters_that_can_be_read():
    pool = AudioPool([torch.ones(size, dtype=torch.int16) for size in (6400, 640, 16000, 6400)], list("abcd"))
    pool.lessons = with_letters(pool.lessons, pool.names, {"a": "aab", "b": "baa", "c": "a b", "x": "z"}, "toy")
    assert pool.lessons.alphabet == " ab" and pool.lessons.sizes == LessonSizes(0, 4)
    assert [one.tolist() for one in pool.lessons.labels] == [[2, 2, 3], [3, 2, 2], [2, 1, 3], []]
    assert [frames_for_letters(one) for one in pool.lessons.labels] == [4, 4, 3, 0]
    found = readable_texts("toy", dataclasses.replace(READING, transcript_batch_sec=0.9), pool)
    assert found.utterances.tolist() == [0]
    assert found.left_out == {"no text": 1, "too long": 1, "more letters than frames": 1}
    with pytest.raises(
        ValueError, match=r"toy: the letters of none of 4 utterances can be read .*transcript_weight to 0"
    ):
        readable_texts("toy", dataclasses.replace(READING, transcript_batch_sec=0.01), pool)
    with pytest.raises(ValueError, match=r"toy: transcript_weight is above 0, but none of 4 utterances has a text"):
        with_letters(pool.lessons, pool.names, {}, "toy")


def test_utterances_fill_a_batch_with_their_padding():
    lens = torch.tensor([16000, 8000, 4000, 20000])
    config = dataclasses.replace(READING, transcript_batch_sec=2.0)
    for seed in range(20):
        chosen = some_utterances(torch.arange(4), lens, config, seeded(seed))
        assert len(chosen) >= 1 and len(set(chosen.tolist())) == len(chosen)
        assert len(chosen) * int(lens[chosen].max()) <= 32000
    assert some_utterances(torch.tensor([3]), lens, dataclasses.replace(config, transcript_batch_sec=0.1), seeded())


def test_padding_takes_no_part_in_letters():
    torch.manual_seed(0)
    head = LetterHead(5, 3, 4)
    states = torch.randn(2, 9, 5)
    whole = head(states, torch.tensor([9, 6]))
    torch.testing.assert_close(head(states[1:, :6], torch.tensor([6]))[0], whole[1, :6])
    assert torch.allclose(whole[0].exp().sum(dim=1), torch.ones(9))


def test_ctc_is_the_sum_over_all_paths():
    guidance = make_guidance(READING, LessonSizes(0, 3), seeded())
    states, labels = torch.randn(1, 4, READING.state_dim, generator=seeded(1)), (1, 1)
    log_probs = guidance.letters(states, torch.tensor([4]))[0].double()

    def said(path):
        return tuple(one for one, _ in itertools.groupby(path) if one)

    paths = [path for path in itertools.product(range(3), repeat=4) if said(path) == labels]
    expected = torch.stack([sum(log_probs[t, one] for t, one in enumerate(path)) for path in paths]).logsumexp(dim=0)
    spoken = Spoken(torch.zeros(1, 1), torch.tensor([4]), torch.tensor([labels]), torch.tensor([2]))
    assert float(guidance.transcript(states, spoken)) == pytest.approx(-float(expected) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_codebook_alone_is_taught_and_gradients_go_through(kind):
    config = dataclasses.replace(SMALL_CODEC, quantizer=kind, num_codebooks=4, codebook_size=8)
    frames = torch.randn(40, config.state_dim, generator=seeded(1)).requires_grad_()
    quantizer = make_quantizer(config, config, seeded())
    with torch.no_grad():
        quantizer.start(frames, 1, 0)
    before = [counts.clone() for counts in quantizer.usage()]
    found = quantizer.first(frames)
    assert all(torch.equal(*pair) for pair in zip(before, quantizer.usage())), "it learns nothing"
    levels = 2 if kind == "group" else 1
    done = quantizer.eval()(frames, torch.full((40,), levels), seeded())
    torch.testing.assert_close(found, done.states)
    (gradient,) = torch.autograd.grad((found * torch.arange(8.0)).sum(), frames)
    assert gradient.abs().sum() > 0
    if kind != "factorised":
        torch.testing.assert_close(gradient, torch.arange(8.0).expand(40, 8))


def lesson_pool(audio, config=READING):
    return TrainedCodecTokenizer("toy", config)._pool(audio)


def test_losses_are_added_with_their_weights(audio):
    pool = lesson_pool(audio)
    batch = next(segment_batches(pool, READING, 5, 0, readable_texts("toy", READING, pool)))
    system = CodecSystem(CodecNetwork(READING, 5, pool.lessons.sizes), READING, 5, pool).eval()
    found = system.losses(system.prepare(batch, torch.device("cpu")), 0)
    plain = CodecSystem(CodecNetwork(SMALL_CODEC, 5), SMALL_CODEC, 5, pool).eval()
    alone = plain.losses(plain.prepare({name: batch[name] for name in ("audio", "generator")}, torch.device("cpu")), 0)
    size = len(batch["audio"])
    added = {name: float(found.parts[name]) / size for name in ("distillation", "transcript")}
    assert {name: found.parts[name] for name in alone.parts} == alone.parts, "weights are drawn as without lessons"
    expected = float(alone.mean) + READING.distillation_weight * added["distillation"] + 0.5 * added["transcript"]
    assert float(found.mean) == pytest.approx(expected, rel=1e-6)
    states = system.network.encoder(batch["audio"][:, None]).transpose(1, 2)
    taught = batch["distillation"]
    told = distillation_losses(system.network.guidance.projection(states), *taught).mean()
    assert added["distillation"] == pytest.approx(float(told.detach()), rel=1e-5)
    found.mean.backward()
    assert all(value.grad.abs().sum() > 0 for value in system.network.guidance.parameters())
    prepared = system.prepare(batch, torch.device("cpu"))
    system.network.quantizer.start(states.detach().flatten(0, 1), 1, 0)
    quantised = system.losses(prepared, READING.plain_steps)
    assert float(quantised.parts["distillation"]) != float(found.parts["distillation"])


def test_killed_and_resumed_is_the_same_as_uninterrupted(audio, tmp_path, monkeypatch):
    pool = lesson_pool(audio)
    whole = train_codec("toy", READING, pool, 5, FitFolder(tmp_path / "whole", "toy"))
    assert set(whole.summary["losses"]) == {"waveform", "mel", "stft", "quantizer", "distillation", "transcript"}
    before_step = CodecSystem.before_step

    def killed(system, step):
        if step == 3:
            raise KeyboardInterrupt
        before_step(system, step)

    folder = FitFolder(tmp_path / "killed", "toy")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CodecSystem, "before_step", killed)
        train_codec("toy", READING, pool, 5, folder)
    other = AudioPool([pool.samples.split(pool.lens.tolist())[0]], ["a"], pool.lessons)
    with pytest.raises(ValueError, match="unfinished training of 'toy' with other audio"):
        train_codec("toy", READING, other, 5, folder)
    pool.lessons = pool.lessons._replace(frames=[frames + 1 for frames in pool.lessons.frames])
    with pytest.raises(ValueError, match="unfinished training of 'toy' with other teacher"):
        train_codec("toy", READING, pool, 5, folder)
    resumed = train_codec("toy", READING, lesson_pool(audio), 5, folder)
    assert resumed.tensors.keys() == whole.tensors.keys() and resumed.summary == whole.summary
    assert all(torch.equal(value, whole.tensors[name]) for name, value in resumed.tensors.items())
    assert from_folder(tmp_path / "killed").network.guidance.letters.output.out_features == pool.lessons.sizes[1]


def test_the_tokenizer_holds_nothing_of_it(audio, tmp_path):
    tokenizer = TrainedCodecTokenizer("toy", READING)
    tokenizer.fit(audio, tmp_path / "state", 3)
    plain = TrainedCodecTokenizer("toy", SMALL_CODEC)
    plain.fit(audio, tmp_path / "plain", 3)
    ours, metadata = read_tensors(tmp_path / "state" / FILE_NAME, "")
    theirs, former = read_tensors(tmp_path / "plain" / FILE_NAME, "")
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    assert {"teacher_sha256", "texts_sha256"} <= metadata["codec"].keys() - former["codec"].keys()
    assert not {"teacher", "transcript_weight"} & former["codec"]["settings"].keys(), (
        "files of before stay what they were"
    )
    save_tokenizer(tokenizer, tmp_path)
    saved = load_tokenizer(tmp_path / "tokenizer" / "toy.json", (), tmp_path / "tokenizer")
    codes = tokenizer.encode(audio[0][0][None], torch.tensor([16000]))[0]
    assert torch.equal(saved.encode(audio[0][0][None], torch.tensor([16000]))[0], codes)
    assert not saved.spec.differences(tokenizer.spec)
    with pytest.raises(ValueError, match=r"trained with other settings .*\(distillation_weight: 2\.0 against 1\.0\)"):
        TrainedCodecTokenizer("toy", dataclasses.replace(READING, distillation_weight=1.0), tmp_path / "state").encode(
            audio[0][0][None], torch.tensor([16000])
        )


def test_a_model_in_another_folder_is_the_same_teacher(tmp_path):
    (tmp_path / "net.pt").write_text("")
    settings = {"kind": "ssl", "model": str(tmp_path / "net.pt"), "layer": 6}
    tokenizer = TrainedCodecTokenizer("toy", dataclasses.replace(TAUGHT, teacher=settings))
    assert tokenizer.settings_to_save()["teacher"] == {"kind": "ssl", "model": "net.pt", "layer": 6}


def test_settings_of_lessons_that_there_are_none_of_decide_nothing():
    assert not {"teacher", "distillation_weight", "transcript_dim"} & deciding_settings(SMALL_CODEC).keys()
    assert {"teacher", "distillation_weight"} <= deciding_settings(TAUGHT).keys()
    assert from_dict(CodecConfig, json.loads(json.dumps(to_dict(READING))), "x") == READING
    assert make_guidance(SMALL_CODEC, NO_LESSONS, seeded()).state_dict() == {}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"teacher": {"layer": 3}}, "expected an object with the name of a frame source as its `kind`"),
        ({"teacher": "whisper"}, "setting 'teacher' is 'whisper', but CodecConfig expects an object or null"),
        (
            {"transcript_weight": -1},
            "setting 'transcript_weight' is -1, but CodecConfig expects a number of at least 0",
        ),
        ({"transcript_dim": 0}, "setting 'transcript_dim' is 0, but"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        from_dict(CodecConfig, settings, "toy.json")


def test_audio_without_texts_or_too_short_is_told(speech, tmp_path, caplog):
    with pytest.raises(ValueError, match="toy: transcript_weight is above 0, but none of 1 utterances has a text"):
        TrainedCodecTokenizer("toy", READING).fit([(speech, "a")], tmp_path, 3)
    with pytest.raises(ValueError, match="unknown FrameSource 'fbanks'"):
        TrainedCodecTokenizer("toy", dataclasses.replace(TAUGHT, teacher={"kind": "fbanks"})).fit([], tmp_path, 3)
    pool = TrainedCodecTokenizer("toy", TAUGHT)._pool([(speech[:350], "a"), (speech, "b")])
    assert pool.names == ["b"] and "cut a: too short for a frame of the teacher; drop the cut" in caplog.text
