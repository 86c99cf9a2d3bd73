"""Common Voice: its lists and clips on disk, its text rules, and what is said of a corpus that is not whole."""

import shutil

import pytest
from recipe_checks import feature_type_of_environment, load_local, pipeline_in, run_recipe
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError

RELEASE, LANG = "cv-corpus-17.0-2024-03-15", "es"
COLUMNS = (
    *("client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes"),
    *("age", "gender", "accents", "variant", "locale", "segment"),
)

RECIPE = "commonvoice"


def _row(client, name, sentence):
    values = dict.fromkeys(COLUMNS, "")
    values.update(client_id=client, path=name, sentence=sentence, up_votes="2", down_votes="0", locale=LANG)
    return "\t".join(values[column] for column in COLUMNS)


def make_corpus(release, sizes):
    """A release with one language: mp3 at 32 kHz, lists with a header; one clip in clips/ that no split lists."""
    folder = release / LANG
    every = clips(sum(sizes.values()) + 1, language=LANG)
    taken = iter(enumerate(every))
    for split, size in sizes.items():
        lines = ["\t".join(COLUMNS)]
        for number, clip in (next(taken) for _ in range(size)):
            name = f"common_voice_{LANG}_{1000 + number}.mp3"
            write_audio(folder / "clips" / name, clip.samples, rate=32000)  # played at twice its rate: it is no result
            lines.append(_row(f"speaker{number % 5}", name, f'"{clip.text.capitalize()}, "¿no?'))
        write_lines(folder / f"{split}.tsv", lines)
    number, clip = next(taken)
    name = f"common_voice_{LANG}_{1000 + number}.mp3"
    write_audio(folder / "clips" / name, clip.samples, rate=32000)
    write_lines(folder / "validated.tsv", ["\t".join(COLUMNS), _row("speaker0", name, clip.text)])
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    release = tmp_path_factory.mktemp("commonvoice") / RELEASE
    make_corpus(release, {"train": 6, "dev": 2, "test": 2})
    return release


@pytest.fixture
def broken(whole, tmp_path):
    """A copy of the corpus for a test to damage."""
    return shutil.copytree(whole, tmp_path / RELEASE)


def config(prepare, release, data_dir, **changes):
    return prepare.PrepareConfig(corpus_dir=str(release), data_dir=str(data_dir), lang=LANG, nj=1, **changes)


def test_manifests_of_a_whole_corpus(prepare, whole, tmp_path):
    prepare.prepare(config(prepare, whole, tmp_path))
    sizes = {}
    for split in ("train", "dev", "test"):
        cuts = load_cuts(tmp_path / "manifests" / f"commonvoice_cuts_{split}.jsonl.gz")
        sizes[split] = len(cuts)
        for cut in cuts:
            supervision = cut.supervisions[0]
            assert supervision.language == LANG and supervision.speaker.startswith("speaker")
            assert supervision.text == supervision.text.lower() and supervision.text.endswith(" no")
            assert supervision.custom["written"].endswith(', "¿no?')
            assert cut.sampling_rate == 16000  # half of that of the clips
            assert cut.load_audio().shape == (1, cut.num_samples)
    assert sizes == {"train": 6, "dev": 2, "test": 2}


@pytest.mark.parametrize(
    "content, reason", [(b"", "is empty"), (b"<!DOCTYPE html>", "page of the web"), (None, "less or more audio")]
)
def test_a_clip_that_cannot_be_read_is_left_out_by_name(prepare, broken, tmp_path, caplog, content, reason):
    path = sorted((broken / LANG / "clips").iterdir())[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    prepare.prepare(config(prepare, broken, tmp_path / "data"))
    cuts = load_cuts(tmp_path / "data" / "manifests" / "commonvoice_cuts_train.jsonl.gz")
    assert len(cuts) == 5 and path.stem not in set(cuts.ids)
    (said,) = (record.getMessage() for record in caplog.records if str(path) in record.getMessage())
    assert said.startswith(f"{path} is left out: ") and reason in said


def test_a_tab_in_a_sentence_loses_nothing(prepare, broken):
    path = broken / LANG / "train.tsv"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[2] = lines[2].replace(', "¿no?', ',\t"¿no?\tsí')
    path.write_text("\ufeff" + "\n".join(lines) + "\n\n", encoding="utf-8")
    rows = prepare.check_whole(broken / LANG)["train"]
    assert len(rows) == 6 and rows[1]["sentence"].endswith(', "¿no? sí') and rows[1]["locale"] == LANG
    lines[2] = lines[2].replace(f"\t{LANG}", f"\t{LANG}\tx")
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CorpusError, match=r"train\.tsv: line 3 cut short, or with tabs in other fields"):
        prepare.check_whole(broken / LANG)


def test_a_list_in_another_encoding_is_named(prepare, broken):
    path = broken / LANG / "dev.tsv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    with pytest.raises(ValueError, match=r"dev\.tsv is not in UTF-8 \(line 2\): it seems to be Latin-1; .* -f LATIN1 "):
        prepare.check_whole(broken / LANG)


def test_a_listed_clip_that_is_absent_is_named(prepare, broken, tmp_path):
    gone = sorted((broken / LANG / "clips").iterdir())[:2]
    for path in gone:
        path.unlink()
    with pytest.raises(
        CorpusError, match=rf"train\.tsv: 2 transcripts have no audio \({gone[0].name}, {gone[1].name}\)"
    ):
        prepare.prepare(config(prepare, broken, tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_missing_split_is_named(prepare, broken):
    (broken / LANG / "dev.tsv").unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 4 parts \(dev\.tsv\); unpack the archive"):
        prepare.check_whole(broken / LANG)


def test_a_clip_in_two_splits_is_named(prepare, broken):
    line = (broken / LANG / "test.tsv").read_text(encoding="utf-8").splitlines()[1]
    with open(broken / LANG / "train.tsv", "a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(CorpusError, match=rf"1 clips are in train and test \({line.split(chr(9))[1]}\)"):
        prepare.check_whole(broken / LANG)


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda text: text.replace("\taccents\t", "\taccent\t"), r"train\.tsv lacks accents; .* release before 8\.0"),
        (lambda text: text + text.splitlines()[-1] + "\n", r"train\.tsv names 1 clips twice"),
        (lambda text: text + "speaker1\tclip.mp3\n", r"train\.tsv: line 8 cut short"),
        (lambda text: "", r"train\.tsv lacks"),
    ],
)
def test_a_damaged_list_is_named(prepare, broken, change, complaint):
    path = broken / LANG / "train.tsv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CorpusError, match=complaint):
        prepare.check_whole(broken / LANG)


def test_words_and_written_text():
    rules = load_local(RECIPE, "commonvoice_text")
    assert rules.normalize("  Mae’n \"oer\" heddiw: 'go iawn'! ", "words") == "mae'n oer heddiw go iawn"
    assert rules.normalize("Ŵyl–Ddewi", "words") == "ŵyl ddewi"
    assert rules.normalize("… – !", "words") == ""
    assert rules.normalize("Ym 1984 roedd", "words") == "" and rules.normalize("Ym 1984 roedd", "written") != ""
    assert rules.normalize("La col·lecció", "words") == "la col·lecció"
    assert rules.normalize("ISPARTA", "words", "tr") == "ısparta"
    assert rules.normalize("Kaixo,  zer moduz? ", "written") == "Kaixo, zer moduz?"
    assert rules.normalize("Kaixo, mundua!", "written") == ""


def test_sentences_with_digits_are_left_out_and_counted(prepare, broken, tmp_path, caplog):
    path = broken / LANG / "train.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    row = lines[2].split("\t")
    row[COLUMNS.index("sentence")] = "En 1984 todo"
    path.write_text("\n".join([*lines[:2], "\t".join(row), *lines[3:]]) + "\n", encoding="utf-8")
    with caplog.at_level("INFO"):
        prepare.prepare(config(prepare, broken, tmp_path))
    assert len(load_cuts(tmp_path / "manifests" / "commonvoice_cuts_train.jsonl.gz")) == 5
    assert "1 left out: digits, whose words nobody wrote" in caplog.text


@pipeline_in("k2")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / RELEASE, {"train": 24, "dev": 6, "test": 6})
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, ("--lang", LANG))
    assert list(result["sets"]["test"]["languages"]) == [LANG]
    assert (tmp_path / "data" / LANG / "manifests" / "commonvoice_cuts_train.jsonl.gz").is_file()
