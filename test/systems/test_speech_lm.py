"""Models of text and speech: ids and how they are written, layouts, masks, exact resume, and what they are asked."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic_codes import SPEC, goes_on_exactly, write_corpus
from toy_corpus import run_stage_script

from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import write_tensors
from icefall_discrete.data.cuts import load_feature_cuts, load_frames
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.inference.continue_command import main
from icefall_discrete.inference.text_and_speech import TextAndSpeech
from icefall_discrete.systems.speech_lm.answers import Answerer
from icefall_discrete.systems.speech_lm.generation import answered
from icefall_discrete.systems.speech_lm.layouts import DEFAULT, Utterances, read_layout, read_layouts
from icefall_discrete.systems.speech_lm.settings import TaskConfig, TrainSettings
from icefall_discrete.systems.speech_lm.stages import SpeechLmStages, build_speech_lm
from icefall_discrete.systems.speech_lm.steps import Steps
from icefall_discrete.systems.speech_lm.system import SpeechLmSystem, hidden_spans, left_out
from icefall_discrete.systems.speech_lm.vocabulary import MARKS, Vocabulary
from icefall_discrete.systems.tts.files import SynthesisFiles
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.systems.unit_lm.network import ModelConfig
from icefall_discrete.systems.vocoder.files import VocoderFiles
from icefall_discrete.systems.vocoder.heard import write_heard

HEAR = Path(__file__).resolve().parents[2] / "local" / "hear_speech.py"
WORDS = Vocabulary((5, 3))
TURNS = "asr=[Human]: This is input: {speech}<eoh> [SpeechGPT]: {answer}{text}<eoa>"
DECODER = {"dim": 16, "num_layers": 1, "num_heads": 2, "feedforward_dim": 24, "dropout": 0.0}


def test_every_id_is_written_and_read_back():
    assert WORDS.size == 256 + len(MARKS) + 8
    for one in range(WORDS.size):
        for ids in ([one], [one, 60, one], [97, one, 97], [92, one], [one, one]):
            assert WORDS.read(WORDS.written(ids)) == ids, ids
    drawn = np.random.default_rng(0).integers(0, WORDS.size, (200, 12)).tolist()
    assert all(WORDS.read(WORDS.written(ids)) == ids for ids in drawn)
    for text in ("добро <12> [Human] \\ 欢迎", "<sosp>", "é\n\t", ""):
        ids = WORDS.text.ids(text)
        assert WORDS.text_of(ids) == text and WORDS.read(WORDS.written(ids)) == ids


def test_units_are_written_as_speechgpts():
    one, codes = Vocabulary((1000,)), torch.tensor([[12], [400]])
    assert one.written([one.mark("<sosp>"), *one.unit_ids(codes), one.mark("<eosp>")]) == "<sosp><12><400><eosp>"
    pairs = torch.tensor([[4, 2], [0, 1]])
    assert WORDS.written(WORDS.unit_ids(pairs)) == "<0:4><1:2><0:0><1:1>"
    assert torch.equal(WORDS.units_of([*WORDS.unit_ids(pairs), WORDS.starts[0]]), pairs)
    with pytest.raises(ValueError, match="codes of 2 codebooks are not in their order"):
        WORDS.units_of(WORDS.unit_ids(pairs)[1:3])
    for wrong, reason in (
        ([[5, 0]], "the code 5"),
        ([[0, -1]], "the code -1"),
        ([[1]], r"shape \(1, 1\), expected \(f"),
    ):
        with pytest.raises(ValueError, match=reason):
            WORDS.unit_ids(torch.tensor(wrong))
    with pytest.raises(ValueError, match=r"'<1000>' is neither a mark .* nor one of 1000 codes; correct it"):
        one.read("<1000>")


def test_layouts_say_what_stands_where():
    codes, facts = torch.tensor([[4, 2]]), {"text": "so", "speaker": None}
    laid = read_layout(TURNS, WORDS).of(facts, codes, WORDS)
    written = "[Human]: This is input: <sosp><0:4><1:2><eosp><eoh> [SpeechGPT]: so<eoa>"
    assert WORDS.written(laid.ids) == written and WORDS.written(laid.ids[laid.answer :]) == "so<eoa>"
    assert WORDS.written(read_layout(TURNS, WORDS).asked(facts, codes, WORDS)) == written[: -len("so<eoa>")]
    spoken = read_layout("tts={text}: {answer}{speech}<eos>", WORDS)
    assert WORDS.written(spoken.asked(facts, codes, WORDS)) == "so: <sosp>"
    (rule,) = spoken.rules(WORDS)
    assert rule.stop == WORDS.mark("<eosp>") and rule.choosable.sum(dim=1).tolist() == [6, 3]
    with pytest.raises(ValueError, match=r"its speaker is not known \(known: text\), which the layout of tts has"):
        read_layout("tts={speaker}{answer}{speech}<eos>", WORDS).of(facts, codes, WORDS)
    for line, reason in (
        ("{answer}{text}<eos>", "has no name before '='"),
        ("asr={speech}{text}<eos>", "has 0 times {answer}, expected once"),
        ("asr={speech}{answer}{text}", "does not end with a mark"),
        ("say={answer}{speech}{text}<eos>", "goes on behind the speech of its answer"),
        ("asr={speech}{answer}{text}<end>", "'<end>' is neither a mark"),
    ):
        with pytest.raises(ValueError, match="layout '.*" + reason):
            read_layout(line, WORDS)
    with pytest.raises(ValueError, match="tasks asr, asr, expected one or more, each once"):
        read_layouts((TURNS, TURNS), WORDS)


def test_half_of_the_heard_codes_are_hidden_in_four_of_five_utterances():
    torch.manual_seed(0)
    drawn = torch.stack([hidden_spans(60, TaskConfig()) for _ in range(1500)]).float()
    assert float((drawn.sum(dim=1) == 0).float().mean()) == pytest.approx(0.2, abs=0.04)
    assert float(drawn[:, 5:].mean()) == pytest.approx(0.8 * 0.5, abs=0.03)
    assert not hidden_spans(60, TaskConfig(span_prob=0.0)).any()


TWO = FeatureSpec("two", "codes", 16000, 50.0, 2, (5, 3), 0)


def system_of(spec=TWO, voices=None, **task):
    torch.manual_seed(0)
    config = from_dict(TaskConfig, task, "test")
    model = from_dict(ModelConfig, {"decoder": DECODER}, "test")
    voice_dim = 0 if voices is None else voices.dim
    network = build_speech_lm(model, spec, frames_per_step=config.frames_per_step, voice_dim=voice_dim)
    return SpeechLmSystem(network, config, spec, voices=voices)


def utterances(num=3):
    generator = torch.Generator().manual_seed(1)
    codes = [torch.randint(3, (4 + number, 2), generator=generator) for number in range(num)]
    return Utterances(list("abc")[:num], [{"text": text} for text in ("ja", "nein", "é")[:num]], codes)


@pytest.mark.parametrize("frames", [0, 1, 3])
@torch.no_grad()
def test_a_batch_is_its_utterances_and_only_answers_are_paid_for(frames):
    system, every = system_of(frames_per_step=frames).eval(), utterances()
    for layout in system.layouts:
        nats, counts = system.tell(every, [layout] * 3)
        alone = [system.tell(Utterances(*([one] for one in row)), [layout]) for row in zip(*every)]
        assert nats.tolist() == pytest.approx([float(one[0]) for one in alone], rel=1e-5)
        spoken = {0: [11, 13, 15], 1: [7, 8, 9], 3: [5, 5, 5]}[frames]
        assert counts.tolist() == {"asr": [3, 5, 3]}.get(layout.name, spoken)


@pytest.mark.parametrize("frames", [0, 1])
def test_the_tasks_are_learnt_together_and_answered_alone_and_together(frames):
    system, every = system_of(span_prob=0.0, layouts=DEFAULT[:2], frames_per_step=frames), utterances()
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    for _ in range(200):  # both tasks of each utterance at every step
        found = [system.tell(every, [layout] * 3) for layout in system.layouts]
        optimizer.zero_grad()
        sum(nats.sum() / counts.sum() for nats, counts in found).backward()
        optimizer.step()
    answerer, greedy = Answerer(system.network.eval(), system.layouts, TWO), SamplingConfig(temperature=0.0)
    assert answerer.texts("asr", every, greedy, 20) == ["ja", "nein", "é"]
    none = torch.zeros(0, 2, dtype=torch.int64)
    for facts, codes in zip(every.facts, every.codes):
        assert torch.equal(answerer.units("tts", facts, none, greedy, 20), codes)
    with pytest.raises(ValueError, match="task 'asr' is answered with text, not with speech"):
        answerer.units("asr", {}, none, greedy, 5)
    names, most = ["a", "b", "c"], SamplingConfig(temperature=3.0)
    said = answerer.said("tts", names, every.facts, most, 6)
    for number, (name, facts) in enumerate(zip(names, every.facts)):
        (alone,) = answerer.said("tts", [name], [facts], most, 6)
        assert torch.equal(alone, said[number]) and 1 <= len(alone) <= 6, "it draws by its name, whatever is beside it"
    for task, facts, reason in (
        ("asr", {}, "task 'asr' does not ask with a text for speech"),
        ("tts", {"text": None}, "a: its text is not known"),
    ):
        with pytest.raises(ValueError, match=reason):
            answerer.said(task, ["a"], [facts], greedy, 6)
    layout = system.layouts[1]
    asked = [layout.asked(facts, none, WORDS) for facts in every.facts]
    drawn = SamplingConfig(temperature=3.0)
    how = (layout.rules(system.steps.outline), drawn, 12)
    together = answered(system.network, system.steps, asked, *how)
    assert together[0] == answered(system.network, system.steps, asked[:1], *how)[0]
    assert together[2] == answered(system.network, system.steps, [[], [], asked[2]], *how)[2]


VOICES = VoiceVectors({"anna": torch.tensor([1.0, 0.0, 0.5]), "otto": torch.tensor([-0.5, 1.0, 0.0])})
IN_A_VOICE = "tts={voice}{text}{answer}{speech}<eos>"


def test_who_speaks_is_heard_from_the_vector_alone():
    system = system_of(voices=VOICES, frames_per_step=1, layouts=(IN_A_VOICE, DEFAULT[0]))
    facts = [{"text": "so", "speaker": name} for name in ("anna", "otto", "anna")]
    codes = [torch.tensor(one) for one in ([[4, 2], [0, 1]], [[1, 0], [2, 2], [3, 1]])]
    every = Utterances(["a", "b", "c"], facts, [codes[0], codes[1], codes[0]])
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    for _ in range(120):
        nats, counts = system.tell(every, [system.layouts[0]] * 3)
        optimizer.zero_grad()
        (nats.sum() / counts.sum()).backward()
        optimizer.step()
    answerer = Answerer(system.eval().network, system.layouts, TWO, voices=VOICES)
    greedy, none = SamplingConfig(temperature=0.0), torch.zeros(0, 2, dtype=torch.int64)
    said = answerer.said("tts", ["x", "long name"], [facts[1], {**facts[0], "text": "so"}], greedy, 9)
    assert torch.equal(said[0], codes[1]) and torch.equal(said[1], codes[0])
    assert torch.equal(answerer.units("tts", facts[1], none, greedy, 9), codes[1])
    mixed = Utterances(["a", "b"], [facts[0], {"text": "so"}], codes)
    asr = system.layouts[1]  # begins with no voice, so that none need be known, and the other's adds nothing
    with torch.no_grad():
        together = system.tell(mixed, [system.layouts[0], asr])[0]
        alone = system.tell(Utterances(["b"], [{"text": "so"}], codes[1:]), [asr])[0]
    assert float(together[1]) == pytest.approx(float(alone), rel=1e-5)
    for wrong, reason in (({"text": "so"}, "its speaker is not known"), ({"text": "so", "speaker": "ann"}, "did you")):
        with pytest.raises(ValueError, match=f"x: .*{reason}"):
            answerer.said("tts", ["x"], [wrong], greedy, 9)


def test_vectors_of_voices_and_layouts_that_begin_with_them_go_together(tmp_path):
    for line in ("tts={text}{voice}{answer}{speech}<eos>", "a={voice}{voice}{answer}{text}<eos>"):
        with pytest.raises(ValueError, match=r"has \{voice\} elsewhere than at its beginning"):
            read_layout(line, WORDS)
    VOICES.write(tmp_path / "voices.safetensors")
    stages, given = SpeechLmStages(), {"layouts": [IN_A_VOICE], "voices": str(tmp_path / "voices.safetensors")}
    targets = stages.targets(from_dict(TrainSettings, {"task": given}, "test"), None, None)
    targets.save(tmp_path)
    kept = WordedCodes.load(tmp_path)
    assert kept.means_the_same(targets) and torch.equal(kept.voices.of("otto"), VOICES.of("otto"))
    other = WordedCodes(voices=VoiceVectors({"otto": torch.zeros(3)}))
    assert not kept.means_the_same(other) and kept.means_the_same(WordedCodes())
    with pytest.raises(ValueError, match="was trained with other vectors of voices; give the same --voices"):
        other.save(tmp_path)
    for task, reason in (
        ({**given, "voices": ""}, "layouts of tts begin with {voice}; vectors of speakers"),
        ({**given, "layouts": DEFAULT}, "but no layout begins with {voice}"),
    ):
        with pytest.raises(ValueError, match=reason):
            stages.targets(from_dict(TrainSettings, {"task": task}, "test"), None, None)
    write_tensors(tmp_path / "bad.safetensors", {"a": torch.zeros(2), "b": torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r"bad\.safetensors holds 2 tensors of shapes .*, expected vectors of one length"
    ):
        VoiceVectors.read(tmp_path / "bad.safetensors")


def test_a_folder_has_the_vectors_of_its_own_training_and_those_that_were_made_later(tmp_path):
    spoken, plain = (from_dict(TrainSettings, {"model": {"decoder": DECODER}}, "test") for _ in range(2))
    experiment = Experiment(tmp_path)
    experiment.start(spoken, TWO, WordedCodes(voices=VOICES), None)
    assert not experiment.has_learnt(), "vectors are no weights"
    experiment.start(plain, TWO, WordedCodes(), None)
    assert WordedCodes.load(tmp_path).voices is None, "a training that learnt nothing leaves nothing"
    experiment.start(spoken, TWO, WordedCodes(voices=VOICES), None)
    (tmp_path / "epoch-1.pt").touch()
    assert experiment.has_learnt()
    experiment.start(spoken, TWO, WordedCodes(voices=VoiceVectors({"eva": torch.ones(3)})), None)
    kept = WordedCodes.load(tmp_path).voices
    assert torch.equal(kept.of("eva"), torch.ones(3)) and kept.means_the_same(VOICES)
    assert torch.equal(kept.of("otto"), VOICES.of("otto"))


def test_ids_are_steps_and_steps_ids():
    ids = read_layout(TURNS, WORDS).of({"text": "so"}, torch.tensor([[4, 2], [0, 1], [3, 0]]), WORDS).ids
    drawn = np.random.default_rng(0)
    for frames, num_steps in ((0, 6), (1, 3), (2, 2), (5, 1)):
        steps = Steps(WORDS, frames)
        arranged = steps.arranged(ids)
        assert arranged.shape == (len(ids) - 6 + num_steps, 1 + 2 * frames) and steps.restored(arranged) == ids
        assert steps.num_of_frames(3) == num_steps and steps.arranged([]).shape == (0, 1 + 2 * frames)
        for num in drawn.integers(1, 9, 20):  # whatever stands between whole frames
            codes = torch.from_numpy(drawn.integers(0, (5, 3), (num, 2)))
            some = [*WORDS.unit_ids(codes), 97, WORDS.mark("<eosp>"), *WORDS.unit_ids(codes[:1])]
            assert steps.restored(steps.arranged(some)) == some
    two = Steps(WORDS, 2).arranged(WORDS.unit_ids(torch.tensor([[4, 2], [0, 1], [3, 0]])))
    frame, size = WORDS.first_unit, WORDS.first_unit + 1
    assert two.tolist() == [[frame, 4, 2, 0, 1], [frame, 3, 0, 5, 3]]  # 5 and 3: none
    assert Steps(WORDS, 2).arranged([97]).tolist() == [[97, 5, 3, 5, 3]] and Steps(WORDS, 2).padding[0] == size + 1


@torch.no_grad()
def test_codes_of_a_step_count_as_one_and_are_told_each_by_itself():
    system, every = system_of(frames_per_step=2).eval(), utterances(1)
    steps = system.steps.arranged(system.layouts[2].of({}, every.codes[0], WORDS).ids)[None]
    nats = system.network.tell(steps)
    (cost,), (count,) = system.tell(every, [system.layouts[2]])
    assert float(cost) == pytest.approx(float(nats[..., 0].sum() + nats[..., 1:].sum() / 4)) and int(count) == 5
    other = steps.clone()
    other[0, 1, 2] = (other[0, 1, 2] + 1) % 3  # another code of a step changes no other one of it
    changed = (system.network.tell(other) != nats)[0, 1]
    assert changed.tolist() == [False, False, True, False, False]


def test_channels_and_times_are_left_out_of_what_is_heard():
    config = TaskConfig(frames_per_step=1, channel_masks=2, channel_mask_size=2, time_masks=3, time_mask_share=0.2)
    wide = Steps(Vocabulary((4,) * 6), 1)
    codes = torch.randint(4, (40, 6), generator=torch.Generator().manual_seed(0))
    steps = wide.arranged(wide.words.unit_ids(codes))
    torch.manual_seed(0)
    drawn = [left_out(steps, wide.padding, config) for _ in range(60)]
    gone = torch.stack([one[:, 1:] == 4 for one in drawn])
    assert all(torch.equal(one[:, 0], steps[:, 0]) for one in drawn) and not bool((steps[:, 1:] == 4).any())
    whole_channels, whole_steps = gone.all(dim=1), gone.all(dim=2)
    assert torch.equal(gone, whole_channels[:, None] | whole_steps[..., None])
    assert int(whole_channels.sum(dim=1).max()) <= 4 and int(whole_steps.sum(dim=1).max()) <= 3 * 8
    assert bool(whole_channels.any()) and bool(whole_steps.any())
    system, every = system_of(frames_per_step=1, channel_masks=2, time_masks=2, span_prob=1.0), utterances(1)
    begun = system._begun("a", every.facts[0], every.codes[0], system.layouts[0])
    assert torch.equal(system.eval()._heard(begun), begun.steps)
    assert not torch.equal(system.train()._heard(begun), begun.steps)
    spoken = system._begun("a", every.facts[0], every.codes[0].repeat(9, 1), system.layouts[1])
    assert torch.equal(system._heard(spoken), spoken.steps)
    own = system_of(frames_per_step=1, span_prob=1.0, answer_spans=True)
    assert {WORDS.mark("<mask>")} == set(own._heard(spoken)[:, 0].tolist()) - set(spoken.steps[:, 0].tolist())
    with pytest.raises(ValueError, match=r"channel_masks and time_masks are of steps .*; set frames_per_step"):
        TaskConfig(channel_masks=2)


def test_a_prompt_is_heard_in_whole_steps():
    system = system_of(frames_per_step=3).eval()
    answerer, drawn = Answerer(system.network, system.layouts, TWO), SamplingConfig(temperature=3.0)
    begun = torch.tensor([[4, 2], [0, 1], [3, 0], [1, 1], [2, 2]])
    gone_on = answerer.units("continue", {}, begun, drawn, 4)
    assert torch.equal(gone_on[:3], begun[:3]) and len(gone_on) <= 3 + 4
    assert 1 <= len(answerer.said("tts", ["a"], [{"text": "ja"}], drawn, 2)[0]) <= 2


@torch.no_grad()
def test_an_answer_ends_where_learned_positions_do_and_longer_questions_are_named():
    network = {"decoder": {**DECODER, "positions": "learned", "context": 14}}
    torch.manual_seed(0)
    model = build_speech_lm(from_dict(ModelConfig, network, "test"), TWO).eval()
    system, every = SpeechLmSystem(model, TaskConfig(), TWO), utterances()
    answerer, drawn = Answerer(model, system.layouts, TWO), SamplingConfig(temperature=3.0, seed=1)
    names, facts = ["a", "b"], [{"text": "ja"}, {"text": "nein nein"}]
    said = answerer.said("tts", names, facts, drawn, 20)
    assert [len(one) for one in said] == [(14 - len("ja") - 1) // 2, (14 - len("nein nein") - 1) // 2]
    for name, one, ours in zip(names, facts, said):
        assert torch.equal(answerer.said("tts", [name], [one], drawn, 20)[0], ours)
    with pytest.raises(ValueError, match="a: 14 steps are asked with, but the learned positions end at 14, the an"):
        answerer.said("tts", ["a"], [{"text": "n" * 13}], drawn, 20)
    with pytest.raises(ValueError, match="cut b: 17 steps of task tts, but the learned positions end at 14; lower"):
        system.tell(every, [system.layouts[1]] * 3)


CHAIN = r"chain={speech}<eoh>{answer}{text}; \[ta] {reply}; \[ua] {speech:units}<eoa>"


def test_an_answer_in_text_goes_on_in_speech():
    layout, facts = read_layout(CHAIN, WORDS), {"text": "so", "reply": "no", "units": "<sosp><0:4><1:2><eosp>"}
    written = WORDS.written(layout.of(facts, torch.tensor([[0, 1]]), WORDS).ids)
    assert written == r"<sosp><0:0><1:1><eosp><eoh>so; \[ta] no; \[ua] <sosp><0:4><1:2><eosp><eoa>"
    for units, reason in (("<0:4>so", "more than codes in it"), ("<1:2><0:4>", "not in their order")):
        with pytest.raises(ValueError, match=f"units: .*{reason}"):
            layout.of({**facts, "units": units}, torch.tensor([[0, 1]]), WORDS)
    system, every = system_of(span_prob=0.0, layouts=(CHAIN, DEFAULT[0])), utterances(2)
    for one, units in zip(every.facts, ("<0:4><1:2>", "<0:1><1:0><0:2><1:1>")):
        one.update(reply=f"{one['text']}!", units=units)
    optimizer = torch.optim.Adam(system.parameters(), 0.01)
    for _ in range(200):
        nats, counts = system.tell(every, [system.layouts[0]] * 2)
        optimizer.zero_grad()
        (nats.sum() / counts.sum()).backward()
        optimizer.step()
    answerer, greedy = Answerer(system.network.eval(), system.layouts, TWO), SamplingConfig(temperature=0.0)
    for facts, codes, said in zip(every.facts, every.codes, ([[4, 2]], [[1, 0], [2, 1]])):
        text, units = answerer.replies("chain", {}, codes, greedy, 60)
        assert text == f"{facts['text']}; [ta] {facts['reply']}; [ua]" and units.tolist() == said
    with pytest.raises(ValueError, match="answer of task 'asr' is not a text that goes on in speech; name another"):
        answerer.replies("asr", {}, codes, greedy, 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("both") / "corpus", num_train=12, num_dev=4, languages=("de", "fr"))
    train = {"num_epochs": 2, "average_period": 2, "log_interval": 2, "tensorboard": False}
    train["optimizer"] = {"kind": "adam", "peak_lr": 0.01, "warmup_steps": 5}
    recipe = {"system": "speech_lm", "model_size": "tiny", "model": {"decoder": DECODER}, "train": train}
    recipe |= {"loader": {"max_duration": 8.0, "num_buckets": 3}, "synthesis": {"max_ids": 12, "max_speech_sec": 0.24}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


def test_a_killed_training_goes_on_as_if_it_had_not_been(folder, tmp_path):
    goes_on_exactly(folder, tmp_path, train__device="cpu", model__adaptation={"lora_r": 2, "lora_dropout": 0.3})


def test_the_stages_train_it_and_ask_for_texts(folder):
    of_data = ("--feature-dir", folder / "features", "--device", "cpu")
    of_training = (*of_data, "--conf-dir", folder, "--backend", "torch", "--try-largest-batches", "false")
    exp_dir = folder / "both"
    run_stage_script("train.py", "--recipe-config", folder / "recipe.json", *of_training, "--exp-dir", exp_dir)
    run_stage_script("decode.py", *of_data, "--exp-dir", exp_dir, "--splits", "dev", "--avg", 1)
    run_stage_script("score.py", "--exp-dir", exp_dir, "--feature-dir", folder / "features")
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["dev"]
    assert scored["num_utterances"] == 4 and scored["wer"]["rate"] > 0
    said = TextAndSpeech(exp_dir).units("abc")
    assert said.shape[1] == 1 and 1 <= len(said) <= 12 and int(said.max()) < SPEC.codebook_sizes[0]
    with pytest.raises(ValueError, match="the text is empty"):
        TextAndSpeech(exp_dir).units(" ")
    np.save(folder / "one.npy", np.arange(16))
    spoken = ("--asked-task", "tts", "--splits", "dev", "--avg", 1)
    run_stage_script("decode.py", *of_data, "--exp-dir", exp_dir, *spoken)
    (units,) = (exp_dir / "synthesis").glob("units-dev-*/dev.jsonl.gz")
    read_by = SimpleNamespace(spec=SPEC, texts_of_codes=lambda frames: [f"heard {len(one)}" for one in frames])
    files = SynthesisFiles(exp_dir / "synthesis", units.parent.name[len("units-dev-") :])
    # Who hears it, and who tells its voices, find it so.
    prediction = Experiment(exp_dir).stages().prediction
    assert prediction.last_of(VocoderFiles, exp_dir, "synthesis", "says nothing") == (files, ["dev"])
    heard = runpy.run_path(str(HEAR))["read_units"](files, folder / "features", "dev", read_by)
    write_heard(files.heard("dev"), heard)
    recorded, _ = load_feature_cuts(folder / "features" / "dev.jsonl.gz", SPEC)
    assert [line.original for line in heard] == [f"heard {len(load_frames(cut, SPEC))}" for cut in recorded]
    assert all(1 <= int(line.said.split()[1]) <= 12 for line in heard)
    run_stage_script("score.py", "--exp-dir", exp_dir, "--decoding-method", "synthesis")
    scored = json.loads((exp_dir / "result.json").read_text())["sets"]["dev"]
    assert scored["unit_edits"]["rate"] > 0 and scored["wer"]["rate"] > 0 and "mcd" not in scored
    out = folder / "said"
    main("continue", [str(folder / "one.npy"), "--exp-dir", str(exp_dir), "--max-sec", "0.2", "--out", str(out)])
    assert np.load(out / "one.npy")[:16, 0].tolist() == list(range(16))
