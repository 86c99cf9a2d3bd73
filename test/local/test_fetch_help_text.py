"""Text for language models out of packages of help: spoken words, each sentence once, none that is transcribed."""

import pytest
from fake_packages import put_program, write_deb
from toy_corpus import run_stage_script, write_manifest

from icefall_discrete.data.cuts import load_cuts, text_of

pytest.importorskip("num2words")
FOLDER = "usr/share/libreoffice/help"


def page(*sentences):
    return "".join(f"<p>{sentence}</p>" for sentence in sentences).encode()


@pytest.fixture()
def help_of(tmp_path):
    cuts = write_manifest(tmp_path / "manifests", "test", 3)
    said = text_of(next(iter(load_cuts(cuts)))).capitalize()
    pages = {
        f"{FOLDER}/en-US/text/shared/a.html": page("Press 2 keys. Wait!", f"{said}.", "f(x) = 2"),
        f"{FOLDER}/en-US/text/shared/b.html": page("Press 2 keys.", "one " * 40, "…"),
        f"{FOLDER}/en-US/contents.html": page("Contents of the book"),
    }
    write_deb(tmp_path / "debs" / "libreoffice-help-en-us_7_all.deb", pages)
    spanish = {f"{FOLDER}/es/text/c.html": page("Año 3: ¡Espere!")}
    write_deb(tmp_path / "debs" / "libreoffice-help-es_7_all.deb", spanish)
    return "--packages-dir", tmp_path / "debs", "--without", cuts, "--output", tmp_path / "new" / "help.txt"


def test_sentences_as_they_are_spoken(help_of):
    said = run_stage_script("fetch_help_text.py", "--languages", "en, es,en", *help_of).stderr
    assert help_of[-1].read_text(encoding="utf-8") == "press two keys\nwait\naño tres\nespere\n"
    assert "en: 3 sentences, 1 of them transcripts of --without; 2 are kept" in said
    run_stage_script("fetch_help_text.py", "--languages", "en,es", "--max-sentences", 1, *help_of)
    first = help_of[-1].read_text(encoding="utf-8")
    run_stage_script("fetch_help_text.py", "--languages", "en,es", "--max-sentences", 1, *help_of)
    assert help_of[-1].read_text(encoding="utf-8") == first and len(first.splitlines()) == 2


def test_what_is_not_to_be_had_is_a_sentence(help_of, tmp_path, monkeypatch):
    put_program(tmp_path / "bin", "apt-get", "echo 'E: no network' >&2; exit 1", monkeypatch)
    failed = run_stage_script("fetch_help_text.py", "--languages", "en,xx", *help_of, check=False)
    assert failed.returncode == 1 and not help_of[-1].exists()
    last = failed.stderr.splitlines()[-1]
    assert "cannot read the help in 'xx'" in last and "libreoffice-help-xx" in last and "no network" in last
    none = run_stage_script("fetch_help_text.py", "--languages", ",", *help_of, check=False)
    assert "--languages is ',', expected one name" in none.stderr.splitlines()[-1]
    pattern = run_stage_script("fetch_help_text.py", "--languages", "e*", *help_of, check=False)
    assert "--languages has 'e*'; give codes" in pattern.stderr.splitlines()[-1]
    write_deb(help_of[1] / "libreoffice-help-zh-cn_7_all.deb", {f"{FOLDER}/zh-CN/text/a.html": page("按 2 键")})
    unknown = run_stage_script("fetch_help_text.py", "--languages", "zh-cn", *help_of, check=False)
    assert "the help in 'zh-cn' has numbers: num2words has no cardinal" in unknown.stderr.splitlines()[-1]
