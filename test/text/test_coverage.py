"""Text outside the pieces: counted with shares and examples, refused above a bound; reserved strings by name."""

import io

import pytest
import sentencepiece
from lhotse import CutSet, MonoCut, SupervisionSegment
from lhotse.array import Array, TemporalArray
from synthetic_codes import TINY_RECIPE

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import attach
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.decoding.k2_lexicon import make_lexicon, read_lexicon
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.assembly import filtered_corpus
from icefall_discrete.text.coverage import Coverage
from icefall_discrete.text.pieces import BpeConfig, TextEncoder, train_bpe, train_characters, train_language_bpe

ENGLISH = ["please leave a message after the tone", "the cat sat on the mat", "you have no new messages"] * 4
RESERVED = ["<blk>", "<sos/eos>", "<unk>", "▁"]
SPEC = FeatureSpec("toy", "codes", 16000, 50.0, 1, (500,), 0)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """TextEncoders: of a unigram model, characters, pieces with language tokens, and pieces by language."""
    folder = tmp_path_factory.mktemp("pieces")
    train_bpe(ENGLISH, 28, folder / "bpe")
    train_characters(ENGLISH, folder / "char")
    train_bpe(ENGLISH, 28, folder / "token", ["en", "ja"])
    config = BpeConfig(vocab_size=28, by_language=True, language_token=True, vocab_sizes=("ja=9",))
    train_language_bpe({"en": ENGLISH, "ja": ["日本 に 行く"]}, config, folder / "both")
    return {name: TextEncoder(folder / name) for name in ("bpe", "char", "token", "both")}


@pytest.mark.parametrize("kind", ["bpe", "char", "token", "both"])
@pytest.mark.parametrize(
    "text, outside",
    [
        (ENGLISH[0], ""),
        ("PLEASE leave", "PLEASE"),
        ("日本に cat 行く", "日本に行く"),
        ("naïve\u00a0cat", "ï"),
    ],
)
def test_what_has_no_piece_is_told_character_by_character(pieces, kind, text, outside):
    assert pieces[kind].outside(text, "en") == outside
    assert (2 in pieces[kind].encode(text, "en")) == bool(outside)


def test_each_language_has_its_own(pieces):
    assert pieces["both"].outside("日本", "ja") == "" and pieces["both"].outside("cat", "ja") == "cat"
    with pytest.raises(ValueError, match="no pieces for language 'fr'"):
        pieces["both"].outside("chat", "fr")


def test_models_that_write_text_in_another_way_first_are_asked(tmp_path):
    model = io.BytesIO()
    symbols = {"user_defined_symbols": ["<blk>", "<sos/eos>"], "unk_id": 2, "bos_id": -1, "eos_id": -1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(ENGLISH), model_writer=model, vocab_size=28, normalization_rule_name="nmt_nfkc_cf",
        minloglevel=2, **symbols,
    )  # fmt: skip
    (tmp_path / "bpe.model").write_bytes(model.getvalue())
    encoder = TextEncoder(tmp_path / "bpe.model")
    assert encoder.outside("PLEASE ＣＡＴ") == "" and encoder.outside("PLEASE 猫") == "猫"


@pytest.mark.parametrize("string", RESERVED)
@pytest.mark.parametrize("kind", ["bpe", "char", "token", "both"])
def test_reserved_strings_are_refused_by_name(pieces, kind, string):
    with pytest.raises(ValueError, match=f"its text has '{string}', which the pieces keep for themselves"):
        pieces[kind].labels_of(f"the {string} cat", "en")
    with pytest.raises(ValueError, match=f"its text has '{string}'"):
        pieces[kind].encode(f"the{string}cat", "en")


def test_tokens_of_languages_are_reserved_where_there_are_such(pieces):
    for kind in ("token", "both"):
        with pytest.raises(ValueError, match="its text has '<ja>'"):
            pieces[kind].labels_of("the <ja> cat", "en")
    assert "<ja>" not in pieces["bpe"].pieces() and pieces["bpe"].outside("the <ja> cat") == "<j>"


@pytest.mark.parametrize("string", RESERVED)
def test_pieces_are_not_trained_on_reserved_strings(tmp_path, string):
    with pytest.raises(ValueError, match=f"its text has '{string}'"):
        train_bpe([*ENGLISH, f"a {string} b"], 28, tmp_path / "m")
    with pytest.raises(ValueError, match=f"its text has '{string}'"):
        train_characters([*ENGLISH, f"a {string} b"], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_lexicons_have_no_word_of_reserved_pieces(pieces, tmp_path):
    lexicon, left_out = make_lexicon(pieces["bpe"], ["the <blk> cat", "a<sos/eos>t <unk>", "猫 sat <s> #0"])
    assert sorted(lexicon.spellings) == ["cat", "sat", "the"]
    assert left_out == ["#0", "<blk>", "<s>", "<unk>", "a<sos/eos>t", "猫"]
    for piece in ("<blk>", "<sos/eos>", "<unk>"):
        (tmp_path / "lexicon.txt").write_text(f"cat ▁c {piece}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=f"line 1: unknown piece {piece}"):
            read_lexicon(tmp_path, ["<blk>", "<sos/eos>", "<unk>", "▁c"])


def test_shares_and_examples_are_said_and_too_much_is_refused(caplog):
    coverage = Coverage("dev")
    coverage.add("cut a", "the cat sat", "")
    coverage.add("cut b", "日本日", "日本日")
    assert coverage.percent == pytest.approx(25.0)
    with caplog.at_level("WARNING"):
        coverage.report(25.0)
    said = "dev: 3 of 12 characters (25.00 %), in 1 of 2 texts, have no piece: '日' (2), '本' (1); such as in cut b"
    assert said in caplog.text
    with pytest.raises(ValueError, match=r"3 of 12 characters .* such as in cut b\. That is more than the 24 % which"):
        coverage.report(24.0)
    Coverage("nothing").report(0.0)


def cut(name, text, language="en", frames=400):
    array = TemporalArray(Array("flat_archive", "x", f"0,{frames},1,int16", [frames, 1]), 0, 0.02, 0.0)
    supervision = SupervisionSegment(name, "r", 0.0, frames / 50, text=text, language=language)
    return attach(MonoCut(name, 0.0, frames / 50, 0, supervisions=[supervision]), array, SPEC)


def corpus(pieces, train, valid=ENGLISH, **settings):
    chosen = TrainSettings.from_dict({**TINY_RECIPE, "filter": {**TINY_RECIPE.get("filter", {}), **settings}}, "toy")
    parts = [[cut(f"{s}-{n}", text) for n, text in enumerate(texts)] for s, texts in (("t", train), ("v", valid))]
    return filtered_corpus(chosen, SPEC, *(CutSet.from_cuts(part) for part in parts), PieceTargets(pieces))


@pytest.mark.parametrize("kind", ["bpe", "char", "token", "both"])
@pytest.mark.parametrize("texts", [["日本に行く"] * 8, [text.upper() for text in ENGLISH]])
def test_training_refuses_text_of_another_script_or_case(pieces, kind, texts):
    with pytest.raises(ValueError, match=r"training: \d+ of \d+ characters \(.* %\), in \d+ of \d+ texts, have"):
        corpus(pieces[kind], texts)
    with pytest.raises(ValueError, match=r"validation: .* such as in cut v-0\. That is more than the 5 %"):
        corpus(pieces[kind], ENGLISH, texts)
    assert len(corpus(pieces[kind], texts, max_unknown_percent=100.0).train) == len(texts)


def test_a_few_strange_characters_are_counted_and_trained(pieces, caplog):
    with caplog.at_level("WARNING"):
        found = corpus(pieces["bpe"], [*ENGLISH, "the café"], ENGLISH)
    assert len(found.train) == len(ENGLISH) + 1 and "training: 1 of " in caplog.text and "'é' (1)" in caplog.text
    caplog.clear()
    corpus(pieces["bpe"], ENGLISH)
    assert "have no piece" not in caplog.text


def test_training_names_the_cut_of_a_reserved_string(pieces):
    with pytest.raises(ValueError, match=r"cut t-12: its text has '<blk>'"):
        corpus(pieces["bpe"], [*ENGLISH, "the <blk> cat"])
