"""Trainings that begin with a language model of transformers: its scores, vocabularies that grow, LoRA."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from synthetic_codes import write_corpus
from toy_corpus import run_stage_script

from icefall_discrete import CONF_DIR
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.initial_weights import begin_with, keep_parts
from icefall_discrete.experiment.published_decoders import read_decoder, size_of
from icefall_discrete.experiment.recipe import read_settings
from icefall_discrete.inference.text_and_speech import TextAndSpeech
from icefall_discrete.nn.adaptation import AdaptationConfig, changes_of, merge_changes
from icefall_discrete.nn.decoder.transformers_names import is_tied
from icefall_discrete.systems.speech_lm.stages import build_speech_lm
from icefall_discrete.systems.speech_lm.vocabulary import MARKS, Vocabulary
from icefall_discrete.systems.training_settings import InitialConfig
from icefall_discrete.systems.unit_lm.network import ModelConfig, build_unit_lm
from icefall_discrete.text.published_pieces import PublishedPieces

transformers = pytest.importorskip("transformers")
SIZES = {"llama_7b": 6_738_415_616, "llama_13b": 13_015_864_320}  # parameters of LLaMA, of 32000 pieces
tokenizers = pytest.importorskip("tokenizers")
SPEC = FeatureSpec("five", "codes", 16000, 50.0, 1, (5,), 0)
TEXTS = ["so it is", "it is so low", "добро пожаловать", "is it so, <sosp> or [Human] or <s>?"]
SPARE = 7  # vectors of a model that none of its pieces has, as many models have them


def write_pieces(folder, marks=()):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<s>"], initial_alphabet=letters, show_progress=False
    )
    made.train_from_iterator(TEXTS, trainer)
    made.add_tokens(list(marks))
    made.save(str(folder / "tokenizer.json"))
    return made


def write_model(folder, kind="llama", marks=()):
    """A folder as transformers write it; its model."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(1)
    size = write_pieces(folder, marks).get_vocab_size() + SPARE
    common = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96, "resid_pdrop": 0.0}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**common, **shape))
    else:
        shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        shape |= {"intermediate_size": 24, "max_position_embeddings": 96, "tie_word_embeddings": kind == "qwen2"}
        names = {"llama": ("LlamaConfig", "LlamaForCausalLM"), "qwen2": ("Qwen2Config", "Qwen2ForCausalLM")}[kind]
        model = getattr(transformers, names[1])(getattr(transformers, names[0])(**common, **shape))
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    model.save_pretrained(folder)
    return model.eval()


def size_for(folder, **more):
    published = read_decoder(folder)
    size = size_of(published.shape, is_tied(published.config))
    return {**size, **more, "decoder": {**size["decoder"], "context": 96, **more.get("decoder", {})}}


def begun(folder, init=None, **more):
    """Our network and targets, once it has begun with the folder."""
    targets = WordedCodes(text=PublishedPieces.read(folder))
    torch.manual_seed(0)
    network = build_speech_lm(from_dict(ModelConfig, size_for(folder, **more), "test"), SPEC, targets.text)
    beginning = begin_with(network, init or InitialConfig(str(folder)), SPEC, targets)
    return network.eval(), targets, beginning


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2"])
@torch.no_grad()
def test_a_text_has_the_scores_that_the_model_gives_it(kind, tmp_path):
    model = write_model(tmp_path / "hub", kind)
    network, targets, beginning = begun(tmp_path / "hub")
    words = Vocabulary(SPEC.codebook_sizes, targets.text)
    ids = targets.text.ids(TEXTS[1])
    steps = torch.tensor([network.pattern.end, *ids]).view(1, -1, 1)  # END is what a text begins with there
    ours = network.scores(steps)[..., : words.text.size]
    theirs = model(torch.tensor([[0, *ids]])).logits[..., : words.text.size]
    assert float((ours - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())
    assert "Begins with input_embedding, decoder" in beginning.said
    table = network.input_embedding.table
    new, mean = table[words.first_mark : words.size], read_decoder(tmp_path / "hub").tokens.mean(dim=0)
    assert len(new) == len(MARKS) + 5 and float((new - mean).std()) == pytest.approx(0.02, rel=0.2)
    assert not table[-1].any(), "padding"


def test_texts_are_divided_as_the_model_does(tmp_path):
    write_model(tmp_path / "hub")
    pieces = PublishedPieces.read(tmp_path / "hub")
    words = Vocabulary((5,), pieces)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "hub" / "tokenizer.json"))
    for text in TEXTS:
        ids = pieces.ids(text)
        assert pieces.text(ids) == text and words.read(words.written(ids)) == ids and 0 not in ids
    assert pieces.ids(TEXTS[2]) == theirs.encode(TEXTS[2]).ids and 0 in theirs.encode(TEXTS[3]).ids
    mixed = [*pieces.ids("so "), *words.unit_ids(torch.tensor([[4], [0]])), words.mark("<eos>")]
    assert words.written(mixed) == "so <4><0><eos>" and words.read("so <4><0><eos>") == mixed
    assert 0 not in pieces.sayable and pieces.text([0, *pieces.ids("it")]) == "it"
    (tmp_path / "hub" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"hub/tokenizer\.json is no tokenizer of transformers \(.*fetch the model"):
        PublishedPieces.read(tmp_path / "hub")
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json does not exist; give a folder of transformers"):
        PublishedPieces.read(tmp_path)
    lacks = tokenizers.Tokenizer(tokenizers.models.WordLevel({"so": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(ValueError, match="the text has 'lo', which has no piece in here; write it otherwise"):
        PublishedPieces(lacks.to_str().encode(), "here").ids("lo")


def test_vectors_of_units_that_it_knows_are_taken(tmp_path):
    units = [f"<{code}>" for code in range(5)]
    write_model(tmp_path / "all", marks=["<sosp>", *units])
    network, targets, _ = begun(tmp_path / "all")
    words, theirs = Vocabulary((5,), targets.text), read_decoder(tmp_path / "all")
    for name, ours in (("<sosp>", words.mark("<sosp>")), ("<3>", words.first_unit + 3)):
        place = targets.text.id_of(name)
        assert torch.equal(network.input_embedding.table[ours], theirs.tokens[place])
        assert torch.equal(network.head.weight[ours], theirs.scores[place])
    assert not set(targets.text.sayable) & {targets.text.id_of(name) for name in units}
    write_model(tmp_path / "few", marks=units[:3])
    with pytest.raises(ValueError, match="few has tokens of 3 units, and the codes are 5; take the feature type that"):
        begun(tmp_path / "few")
    write_model(tmp_path / "more", marks=[*units, "<5>"])
    with pytest.raises(ValueError, match="more has tokens of more than 5 units, and the codes are 5"):
        begun(tmp_path / "more")


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path):
    write_model(tmp_path / "hub")
    with pytest.raises(
        ValueError, match=r'other layers than the recipe; let its section model, or its model size, say \{"t'
    ):
        begun(tmp_path / "hub", decoder={"num_layers": 1})
    with pytest.raises(ValueError, match=r"context is 97, but .*hub knows 96 places; set --model\.decoder\.context to"):
        begun(tmp_path / "hub", decoder={"context": 97})
    with pytest.raises(ValueError, match="hub has vectors of its own for scores; set --tied false"):
        begun(tmp_path / "hub", tied=True)
    network = build_speech_lm(from_dict(ModelConfig, size_for(tmp_path / "hub"), "test"), SPEC)
    with pytest.raises(ValueError, match=r"texts are divided as bytes, but .*hub learnt its own pieces; give --text-p"):
        begin_with(network, InitialConfig(str(tmp_path / "hub")), SPEC, WordedCodes())
    units = build_unit_lm(from_dict(ModelConfig, size_for(tmp_path / "hub"), "test"), SPEC)
    with pytest.raises(ValueError, match=r"input_embedding does not fit .*take what does with --init-modules decoder"):
        begin_with(units, InitialConfig(str(tmp_path / "hub")), SPEC, CodeTargets())
    begin_with(units, InitialConfig(str(tmp_path / "hub"), ("decoder",)), SPEC, CodeTargets())
    theirs = read_decoder(tmp_path / "hub").weights["decoder.norm.weight"]
    assert torch.equal(units.decoder.norm.weight, theirs)
    write_pieces(tmp_path / "hub", [f"more{number}" for number in range(SPARE + 1)])
    with pytest.raises(ValueError, match=r"has ids up to \d+, but .*hub has vectors for \d+: they are of different"):
        begun(tmp_path / "hub")


def test_lora_alone_learns_and_merged_it_says_the_same(tmp_path):
    write_model(tmp_path / "hub")
    network, _, beginning = begun(tmp_path / "hub", adaptation={"lora_r": 2, "lora_alpha": 4.0, "lora_dropout": 0.3})
    plain = begun(tmp_path / "hub")[0]
    keep_parts(network, InitialConfig(), beginning.taken)
    steps = torch.randint(network.pattern.end, (2, 9, 1), generator=torch.Generator().manual_seed(3))
    assert len(changes_of(network)) == 4, "queries and values of two layers"
    assert torch.equal(network.scores(steps), plain.scores(steps))
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.Adam([value for value in network.parameters() if value.requires_grad], 0.05)
    for _ in range(2):
        optimizer.zero_grad()
        network.tell(steps).sum().backward()
        optimizer.step()
    changed = {name for name, value in network.named_parameters() if not torch.equal(value, before[name])}
    assert changed and all(name.endswith((".up", ".down")) for name in changed)
    dropped = network.train().scores(steps)
    scores = network.eval().scores(steps)
    assert not torch.equal(dropped, scores), "parts that are kept stand still, but for the dropout of what learns"
    assert not torch.allclose(scores, plain.scores(steps))
    merge_changes(network)
    assert torch.equal(network.scores(steps), scores) and set(network.state_dict()) == set(plain.state_dict())


def test_the_stages_begin_with_it_and_go_on_with_lora(tmp_path):
    folder = write_corpus(tmp_path / "corpus", num_train=12, num_dev=4)
    write_model(tmp_path / "hub")
    train = {"num_epochs": 1, "average_period": 2, "tensorboard": False}
    train["optimizer"] = {"kind": "adam", "peak_lr": 0.01, "warmup_steps": 2}
    recipe = {"system": "speech_lm", "model_size": "tiny", "model": size_for(tmp_path / "hub"), "train": train}
    recipe |= {"loader": {"max_duration": 8.0, "num_buckets": 2}, "synthesis": {"max_ids": 6, "max_speech_sec": 0.12}}
    recipe |= {"average": {"avg": 1, "use_averaged_model": False}}
    stages = {
        "units": {**recipe, "task": {"layouts": ["continue={answer}{speech}<eos>"]}},
        "pairs": recipe,
        "lora": {**recipe, "model": {**recipe["model"], "adaptation": {"lora_r": 2, "lora_dropout": 0.1}}},
    }
    place = tmp_path / "hub"
    for name, values in stages.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
        given = ("--feature-dir", folder / "features", "--conf-dir", folder, "--device", "cpu", "--backend", "torch")
        own = ("--exp-dir", tmp_path / name, "--init-from", place, "--text-pieces", place)
        more = ("--try-largest-batches", "false")
        run_stage_script("train.py", "--recipe-config", folder / f"{name}.json", *given, *own, *more)
        place = tmp_path / name
    networks = [Experiment(tmp_path / name).targets().text for name in stages]
    assert all(one.means_the_same(networks[0]) for one in networks) and (place / "tokenizer.json").is_file()
    answered = TextAndSpeech(place)
    assert len(answered.units("so")) <= 6 and answered.answerer.text.means_the_same(networks[0])
    other = dataclasses.replace(InitialConfig(), init_from=str(tmp_path / "units"))
    network = Experiment(tmp_path / "pairs").build_model()
    with pytest.raises(ValueError, match="trained for other pieces or classes"):
        begin_with(network, other, Experiment(place).spec(), WordedCodes())


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_are_built_dry(size):
    pytest.importorskip("torch", minversion="2.1", reason="the meta device, torch >= 2.1")
    recipe = CONF_DIR / "recipes" / "speechgpt_chain.json"
    config = read_settings(recipe, size, [CONF_DIR], SimpleNamespace()).model
    adaptation = config.adaptation
    assert (adaptation.lora_r, adaptation.lora_dropout, adaptation.lora_layers) == (8, 0.05, ("*.query", "*.value"))
    config = dataclasses.replace(config, adaptation=AdaptationConfig())  # which no meta device has
    pieces = SimpleNamespace(size=32000)
    with torch.device("meta"):
        network = build_speech_lm(config, dataclasses.replace(SPEC, codebook_sizes=(1000,)), pieces)
    new = 1000 + len(MARKS) + 1  # END
    found = sum(value.numel() for value in network.parameters()) - (2 * new + 1) * config.decoder.dim
    assert found == SIZES[size]


# Millions of weights of dMel's three sizes, as arXiv 2407.15835 has them.
@pytest.mark.parametrize("size, millions", [("rich_small", 59), ("rich_base", 258), ("rich_large", 1300)])
def test_sizes_of_dmel_are_built_dry(size, millions):
    pytest.importorskip("torch", minversion="2.1", reason="the meta device, torch >= 2.1")
    settings = read_settings(CONF_DIR / "recipes" / "rich_asr.json", size, [CONF_DIR], SimpleNamespace())
    dmel = dataclasses.replace(SPEC, codebook_sizes=(16,) * 80, num_codebooks=80)
    with torch.device("meta"):
        network = build_speech_lm(settings.model, dmel, frames_per_step=settings.task.frames_per_step)
    found = sum(value.numel() for value in network.parameters())
    assert abs(found / 1e6 - millions) < 0.05 * millions, found
    assert len(network.pattern.stream_sizes) == 81 and settings.task.channel_masks == 2
    spoken = read_settings(CONF_DIR / "recipes" / "rich_tts.json", None, [CONF_DIR], SimpleNamespace()).task
    assert spoken.read(Vocabulary((16,)))[0].begins_with_voice and spoken.answer_spans and not spoken.channel_masks


def test_the_first_network_of_valle_is_built_dry():
    pytest.importorskip("torch", minversion="2.1", reason="the meta device, torch >= 2.1")
    settings = read_settings(CONF_DIR / "recipes" / "valle_first.json", None, [CONF_DIR], SimpleNamespace())
    with torch.device("meta"):
        network = build_speech_lm(settings.model, dataclasses.replace(SPEC, codebook_sizes=(1024,)))
    found = sum(value.numel() for value in network.parameters())
    assert 12 * 12 * 1024**2 < found < 1.02 * 12 * 12 * 1024**2
    assert [one.name for one in settings.task.read(Vocabulary((1024,)))] == ["tts"]


def test_frames_of_a_published_model_begin_anew_and_its_pieces_as_they_are(tmp_path):
    write_model(tmp_path / "hub", "llama")
    targets = WordedCodes(text=PublishedPieces.read(tmp_path / "hub"))
    two = dataclasses.replace(SPEC, codebook_sizes=(6, 4), num_codebooks=2)
    config = from_dict(ModelConfig, size_for(tmp_path / "hub"), "test")
    torch.manual_seed(0)
    network = build_speech_lm(config, two, targets.text, 1)
    fresh, size = network.input_embedding.table.detach().clone(), targets.text.size
    begin_with(network, InitialConfig(str(tmp_path / "hub")), two, targets)
    table, tokens = network.input_embedding.table, read_decoder(tmp_path / "hub").tokens
    assert torch.equal(table[:size], tokens[:size]) and torch.equal(table[-11:], fresh[-11:])  # 6 + 4 codes, padding
    frame = size + len(MARKS)
    assert torch.allclose(table[frame], fresh[frame] + tokens.mean(dim=0))
    wide = from_dict(ModelConfig, size_for(tmp_path / "hub", tied=False, input={"codebook_dim": 4}), "test")
    with pytest.raises(ValueError, match=r"has vectors of .* dimensions, here pieces have 4; set --codebook-comb"):
        begin_with(build_speech_lm(wide, two, targets.text, 1), InitialConfig(str(tmp_path / "hub")), two, targets)


def test_the_published_stages_say_what_is_learnt():
    asked = {"units": ["continue"], "pairs": ["asr", "tts"], "chain": ["chain"]}
    for name, tasks in asked.items():
        recipe = CONF_DIR / "recipes" / f"speechgpt_{name}.json"
        settings = read_settings(recipe, None, [CONF_DIR], SimpleNamespace())
        layouts = settings.task.read(Vocabulary((1000,)))
        assert [one.name for one in layouts] == tasks and settings.model.decoder.context == 2048
        assert settings.model.adaptation.is_on == (name == "chain")
    assert layouts[0].speaks and layouts[0].answers_with == "text"
