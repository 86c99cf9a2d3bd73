"""Fish Fillets: scripts read as data, packages to the corpus folder, dialogues to cuts, corpora that are not whole."""

import collections
import io
import itertools
import re
import shutil

import numpy as np
import pytest
import soundfile
from fake_packages import write_deb
from recipe_checks import (
    feature_type_of_environment,
    folder_flags,
    load_local,
    pipeline_in,
    recipe_folder,
    run_recipe,
    run_sh,
)
from scipy.signal import resample_poly
from stand_in import WORDS, clips

from icefall_discrete.data import debian_packages
from icefall_discrete.data.checked_folders import damaged_files
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.small_corpora import SPLITS, split_of

pytest.importorskip("num2words")
RECIPE = recipe_folder("fillets")
GAME = "usr/share/games/fillets-ng"
RATES = {"cs": (22050, 1), "nl": (44100, 2)}


@pytest.fixture(scope="module")
def dialogs():
    return load_local("fillets", "fillets_dialogs")


@pytest.fixture(scope="module")
def download():
    return load_local("fillets", "download")


@pytest.fixture(scope="module")
def prepare():
    return load_local("fillets", "prepare")


@pytest.mark.parametrize(
    "literal, value",
    [
        (rb'"C:\\WINDOWS\\CONFIG"', "C:\\WINDOWS\\CONFIG"),
        (rb'"a \"quoted\" word"', 'a "quoted" word'),
        (rb"'it\'s'", "it's"),
        (rb'"\195\161 \65\0661"', "á AB1"),
        (rb'"and\/or\n\t\a"', "and/or\n\t\a"),
        ('"loď"'.encode(), "loď"),
        (b'""', ""),
    ],
)
def test_strings_of_lua(dialogs, literal, value):
    assert dialogs.string_value(literal) == value


SCRIPT = """\ufeff-- Init
dialogId("a-m", "font_small", "One -- not a comment")
dialogStr("Jedna -- ne (komentář), \\"dva\\"")

--[[ dialogStr("commented
out") ]]
dialogId("b-v", "font_big",
"Two")  -- a comment at the end
dialogStr(
"Dvě" );
dialogId("laser", "", "")
dialogId('c', "", "")
dialogStr('')
--[==[ ]] ]==] dialogId("last", "font_both", "") --"""


def test_dialogues_are_pairs_and_comments_are_none(dialogs):
    found, without_text = dialogs.parse_dialogs(SCRIPT.encode(), "x.lua")
    assert [(d.id, d.font, d.text) for d in found] == [
        ("a-m", "font_small", 'Jedna -- ne (komentář), "dva"'),
        ("b-v", "font_big", "Dvě"),
        ("c", "", ""),
    ]
    assert (found[1].english, without_text) == ("Two", 2)
    assert dialogs.parse_dialogs(b"", "x.lua") == ([], 0)
    lines = b'-- head\ndialogId("a", "f", "e") -- x\ndialogStr("t")\n'
    for end in (b"\r", b"\r\n"):
        assert dialogs.parse_dialogs(lines.replace(b"\n", end), "x.lua") == dialogs.parse_dialogs(lines, "x.lua")


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b'\ndialogStr("x")', r"x\.lua, line 2: the text 'x' has no dialogId before it; the file is damaged"),
        (b'dialogId("a", "b")', r"line 1: 'dialogId \( \"a\" , \"b\" \)' is neither dialogId"),
        (b'dialogId("a", "b", "c"', r"line 1: .* is neither"),
        (b'\n\nos.execute("x")', r"line 3: 'os\.execute\(\"x\"\)' is no part|line 3: '\.execute"),
        (b'os("x")', r"line 1: .* is neither dialogId\(\"id\", \"font\", \"English\"\) nor dialogStr\(\"text\"\)"),
        (b'dialogStr("x" .. "y")', r"line 1: '\.\. \"y\"\)' is no part of a dialogue"),
        (b'dialogId("a", "b", "c")\ndialogStr("cut off', r"line 2: '\"cut off' is no part of a dialogue"),
        (b'dialogId("a", "b", "\xff")', r"line 1: a string is not in UTF-8"),
        (b'dialogId("a", "b", "\\999")', r"line 1: the escape \\999 is no byte"),
        (b"<html>", r"line 1: '<html>' is no part of a dialogue"),
        (b"dialogStr", r"line 1: 'dialogStr' is neither"),
        (b"\x00\x01", r"line 1: .* is no part of a dialogue"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(dialogs, content, complaint):
    with pytest.raises(CorpusError, match=complaint) as caught:
        dialogs.parse_dialogs(content, "x.lua")
    assert "\n" not in str(caught.value) and "run stage 0 again" in str(caught.value)


def test_an_id_with_two_texts_is_refused(dialogs):
    twice = b'dialogId("a", "f", "e")\ndialogStr("x")\n' * 2
    found, without_text = dialogs.parse_dialogs(twice, "x.lua")
    assert (len(found), without_text) == (1, 0)
    with pytest.raises(CorpusError, match="line 4: the dialogue 'a' was there before with another text"):
        dialogs.parse_dialogs(twice[:-4] + b'y")\n', "x.lua")


def script(lines):
    pairs = (f'dialogId("{name}", "{font}", "E")\ndialogStr("{text}")\n' for name, font, text in lines)
    return "".join(pairs).encode()


def sound(samples, language):
    """Ogg Vorbis of samples (S,) int16 at 16 kHz, at the rate and in the channels that a language's sounds have."""
    rate, channels = RATES[language]
    stream, resampled = io.BytesIO(), resample_poly(samples / 32768, rate, 16000)
    soundfile.write(stream, np.stack([resampled] * channels, axis=1), rate, format="OGG", subtype="VORBIS")
    return stream.getvalue()


def texts_of_all_splits():
    """Two texts of each split, written as in the game."""
    words = (" ".join(pair).capitalize() + "!" for pair in itertools.permutations(WORDS, 2))
    by_split = collections.defaultdict(list)
    for text in words:
        by_split[split_of(text.lower().rstrip("!"))].append(text)
    return [text for split in SPLITS for text in by_split[split][:2]]


TEXTS = texts_of_all_splits()


def write_packages(folder, said):
    """Write the packages of a game; `said`: {(language, level): {id: (font, text, samples)}}, None for what is not."""
    files = {"fillets-ng-data": {f"{GAME}/script/share/prog.lua": b"os.exit()"}}
    for (language, level), lines in said.items():
        known = [(name, font, text) for name, (font, text, _) in lines.items() if text is not None]
        files["fillets-ng-data"][f"{GAME}/script/{level}/dialogs_{language}.lua"] = script(known)
        sounds = files.setdefault(f"fillets-ng-data-{language}", {f"{GAME}/sound/cave/xx/x-0.ogg": b"of another one"})
        for name, (_, _, samples) in lines.items():
            if samples is not None:
                sounds[f"{GAME}/sound/{level}/{language}/{name}.ogg"] = sound(samples, language)
    for name, content in files.items():
        write_deb(folder / f"{name}_1.0_all.deb", content)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two levels with the same ids and texts, the second in Czech only."""
    voice = clips(1)[0].samples[: 16000 * 3 // 4]
    lines = {
        f"x-{i}": (f"font_{'small' if i % 2 else 'big'}", text, voice[: len(voice) - 100 * i])
        for i, text in enumerate(TEXTS)
    }
    lines |= {"silent": ("font_big", "Nic", None), "alone": ("", None, voice)}
    lines |= {"number": ("font_white", "A%1.", voice), "quiet": ("", "", voice)}
    lines |= {"short": ("", "Ah", voice[:3000]), "nothing": ("font_big", "Oh", voice[:0])}
    folder = tmp_path_factory.mktemp("packages")
    write_packages(folder, {("cs", "cave"): lines, ("cs", "wreck"): lines, ("nl", "cave"): lines})
    return folder


@pytest.fixture(scope="module")
def fetched(download, packages, tmp_path_factory):
    """The corpus folder, as stage 0 makes it."""
    dl_dir = tmp_path_factory.mktemp("dl")
    config = download.DownloadConfig(dl_dir=str(dl_dir), packages_dir=str(packages))
    assert [download.fetch_language(language, config) for language in RATES] == [True, True]
    assert not any(download.fetch_language(language, config) for language in RATES)
    return dl_dir / "fillets"


@pytest.fixture
def corpus(fetched, tmp_path):
    """A copy of the corpus folder for a test to damage."""
    return shutil.copytree(fetched, tmp_path / "corpus")


def test_packages_give_the_corpus_folder(fetched):
    for language, levels in (("cs", ["cave", "wreck"]), ("nl", ["cave"])):
        folder = fetched / language
        assert sorted(path.name for path in (folder / "sounds").iterdir()) == levels
        assert sorted(path.stem for path in (folder / "texts").iterdir()) == levels
        assert len(list((folder / "sounds" / "cave").iterdir())) == len(TEXTS) + 5
        assert damaged_files(folder) == []


def test_without_apt_get_one_sentence_says_what_to_put_where(download, tmp_path, monkeypatch):
    monkeypatch.setattr(debian_packages.shutil, "which", lambda name: None)
    with pytest.raises(CorpusError) as caught:
        download.fetch_language("cs", download.DownloadConfig(dl_dir=str(tmp_path)))
    message = str(caught.value)
    assert message.startswith("cannot fetch the corpus for 'cs': there is no apt-get on this machine. Check")
    assert "packages fillets-ng-data-cs and fillets-ng-data by hand" in message and "\n" not in message
    assert message.endswith(f"files into {tmp_path}/fillets/packages, or name their folder with --packages-dir.")


def test_other_packages_are_refused(download, tmp_path):
    for name in ("fillets-ng-data-cs", "fillets-ng-data"):
        write_deb(tmp_path / f"{name}_1_all.deb", {f"{GAME}/sound/cave/cs/a.ogg": b"x"})
    with pytest.raises(CorpusError, match=r"'cs': cs: the download holds no texts/\*\.lua\. Check the network"):
        download.fetch_language("cs", download.DownloadConfig(dl_dir=str(tmp_path), packages_dir=str(tmp_path)))


def config_for(prepare, corpus_dir, data_dir, **changes):
    return prepare.PrepareConfig(
        corpus_dir=str(corpus_dir), data_dir=str(data_dir), **{"nj": 1, "check_counts": False, **changes}
    )


def cuts_in(data_dir):
    paths = {split: data_dir / "manifests" / f"fillets_cuts_{split}.jsonl.gz" for split in SPLITS}
    return {split: {cut.id: cut for cut in load_cuts(path)} for split, path in paths.items()}


@pytest.fixture(scope="module")
def data(prepare, fetched, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("prepared") / "data"
    prepare.prepare(config_for(prepare, fetched, data_dir))
    return data_dir


def test_a_text_is_in_one_split_wherever_it_is_said(data):
    splits = cuts_in(data)
    texts = {split: {cut.supervisions[0].text for cut in cuts.values()} for split, cuts in splits.items()}
    assert {split: len(cuts) for split, cuts in splits.items()} == dict.fromkeys(SPLITS, 6)
    assert all(len(texts[split]) == 2 for split in SPLITS) and len(set().union(*texts.values())) == 6
    assert set(splits["test"]) == {f"{where}-x-{i}" for where in ("cs-cave", "cs-wreck", "nl-cave") for i in (4, 5)}


def test_a_cut_says_who_speaks_what_and_where(data):
    cut = cuts_in(data)["train"]["nl-cave-x-1"]
    said = cut.supervisions[0]
    assert (said.text, said.language, said.speaker) == (TEXTS[1].lower().rstrip("!"), "nl", "fillets-nl-small")
    assert said.gender is None
    assert said.custom == {"written": TEXTS[1], "english": "E", "level": "cave", "font": "font_small"}


@pytest.mark.parametrize("name", ["cs-cave-x-0", "nl-cave-x-0"])
def test_audio_is_that_of_the_game_at_16_khz(data, name):
    cut, voice = cuts_in(data)["train"][name], clips(1)[0].samples[: 16000 * 3 // 4] / 32768
    audio = cut.load_audio()
    assert cut.sampling_rate == 16000 and audio.shape == (1, cut.num_samples) and abs(cut.duration - 0.75) < 0.001
    size = min(len(voice), cut.num_samples)
    assert np.corrcoef(audio[0, :size], voice[:size])[0, 1] > 0.97


def test_every_drop_is_counted_by_reason(prepare, fetched, tmp_path):
    drops = collections.Counter()
    prepare.read_language(fetched / "nl", config_for(prepare, fetched, tmp_path), drops)
    assert +drops == {
        "kept": 6,
        "dialogue without sound": 1,
        "sound without dialogue": 1,
        "sound that holds nothing": 1,
        "text that is empty": 1,
        "text that the game fills": 1,
        "shorter than 0.3 s": 1,
    }


def test_a_rerun_converts_what_is_missing(prepare, fetched, data, tmp_path):
    data_dir = shutil.copytree(data, tmp_path / "data")
    kept, lost, cut_short = (data_dir / "audio" / "cs" / "cave" / f"x-{i}.flac" for i in range(3))
    before = (kept.stat().st_mtime_ns, lost.read_bytes(), cut_short.read_bytes())
    lost.unlink()
    soundfile.write(cut_short, np.zeros(100), 16000)
    prepare.prepare(config_for(prepare, fetched, data_dir))
    assert (kept.stat().st_mtime_ns, lost.read_bytes(), cut_short.read_bytes()) == before


def test_a_subset_is_balanced(prepare, fetched, tmp_path):
    prepare.prepare(config_for(prepare, fetched, tmp_path / "data", subset=2))
    for cuts in cuts_in(tmp_path / "data").values():
        assert sorted(cut.supervisions[0].language for cut in cuts.values()) == ["cs", "nl"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"OggS")])
def test_files_that_are_missing_or_changed_are_named(prepare, corpus, tmp_path, damage):
    damage(corpus / "cs" / "sounds" / "cave" / "x-0.ogg")
    with pytest.raises(CorpusError, match=r"cs: 1 files are missing, .* md5sums says \(sounds/cave/x-0\.ogg\); move"):
        prepare.prepare(config_for(prepare, corpus, tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_other_counts_and_folders_are_refused(prepare, fetched, tmp_path):
    with pytest.raises(
        CorpusError, match=r"'cs' has \(4, 4, 4\) utterances .*, the published corpus has \(1364, 158, 169\)"
    ):
        prepare.prepare(config_for(prepare, fetched, tmp_path, check_counts=True))
    with pytest.raises(CorpusError, match=r"the corpus folder .*nowhere does not exist; run stage 0"):
        prepare.prepare(config_for(prepare, tmp_path / "nowhere", tmp_path))
    with pytest.raises(CorpusError, match=r"nl is not a fetched language of the corpus \(no md5sums in it\)"):
        prepare.prepare(config_for(prepare, tmp_path, tmp_path, languages=("nl",)))


def test_the_table_of_the_readme_is_the_definition(prepare):
    text = (RECIPE / "README.md").read_text(encoding="utf-8")
    rows = {
        row[0]: [int(value) for value in row[1:4]]
        for row in re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.M)
    }
    published = prepare.PUBLISHED
    assert {name: tuple(rows[name]) for name in published.utterances} == dict(published.utterances)
    assert rows["all"] == [sum(counts) for counts in zip(*published.utterances.values())]
    assert rows["words"][2] == published.test_words


def test_it_plans_all_stages(tmp_path):
    done = run_sh("fillets", *folder_flags(tmp_path), "--dry-run", "true", "--subset", 9, "--packages-dir", tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"local/download.py --dl-dir {tmp_path}/download --packages-dir {tmp_path}" in done.stdout
    assert f"--corpus-dir {tmp_path}/download/fillets --data-dir {tmp_path}/data --nj 2 --subset 9" in done.stdout
    assert f"make_results.py --results-dir {tmp_path}/exp/results" in done.stdout, "a subset's figures are no results"
    assert "--subset must be a whole number above 0" in run_sh("fillets", "--subset", "x").stdout


@pipeline_in("k2")
def test_run_sh(tmp_path):
    said = {
        (language, "cave"): {
            f"x-{i}": ("font_big", clip.text, clip.samples) for i, clip in enumerate(clips(40, seed=seed))
        }
        for seed, language in enumerate(RATES)
    }
    write_packages(tmp_path / "download" / "fillets" / "packages", said)
    result = run_recipe("fillets", feature_type_of_environment(tmp_path), tmp_path, ("--check-counts", "false"))
    assert list(result["sets"]["test"]["languages"]) == ["cs", "nl"]
