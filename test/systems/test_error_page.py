import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import soundfile
from lhotse import MonoCut, Recording

from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.error_page import audio_links, error_page

TRANSCRIPTS = [
    Transcript("en-1", ("press", "one"), ("press", "won")),
    Transcript("en-2", ("a", "<b>", "c"), ()),
    Transcript("it-1", ("ciao",), ("ciao",)),
]
LANGUAGES = {"en-1": "en", "en-2": "en", "it-1": "it"}


class Reader(HTMLParser):
    """Open tags, players and text of a page; complains of a tag that is closed out of turn."""

    def __init__(self):
        super().__init__()
        self.open, self.players, self.groups = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "audio":
            self.players.append(dict(attrs)["src"])
        if tag == "article":
            self.groups.append(dict(attrs)["data-group"])
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_worst_first_with_every_word_and_players_where_there_is_audio():
    page = error_page("Dev & test", TRANSCRIPTS, {"en-1": "../a b.flac"}, LANGUAGES)
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and reader.players == ["../a b.flac"] and reader.groups == ["en", "en", "it"]
    assert re.findall(r"<h2>(\S+) <span>(\d) errors", page) == [("en-2", "3"), ("en-1", "1"), ("it-1", "0")]
    assert "Dev &amp; test" in page and "&lt;b&gt;" in page and "WER 66.67 %" in page
    assert "<span class=wrong><b>one</b><b>won</b></span>" in page and "<span><b>ciao</b><b>ciao</b></span>" in page
    assert "1 of 3 utterances without an error" in page


def test_audio_lies_beside_the_page_and_parts_of_recordings_are_fragments(tmp_path):
    soundfile.write(tmp_path / "whole.wav", np.zeros(16000), 16000)
    recording = Recording.from_file(tmp_path / "whole.wav")
    whole = MonoCut("whole", start=0.0, duration=1.0, channel=0, recording=recording)
    part = MonoCut("part", start=0.25, duration=0.5, channel=0, recording=recording)
    bare = MonoCut("bare", start=0.0, duration=1.0, channel=0)
    page = tmp_path / "exp" / "method" / "errors.html"
    links = audio_links([whole, part, bare], page)
    assert set(links) == {"whole", "part"} and links["part"] == f"{links['whole']}#t=0.25,0.75"
    assert re.fullmatch(r"errors\.audio/[0-9a-f]{16}\.wav", links["whole"])
    content = (tmp_path / "whole.wav").read_bytes()
    page.parent.rename(tmp_path / "moved")
    (tmp_path / "whole.wav").unlink()
    assert (tmp_path / "moved" / links["whole"]).read_bytes() == content


def test_audio_that_cannot_be_put_beside_the_page_is_linked_where_it_is(tmp_path):
    soundfile.write(tmp_path / "a 50%#.wav", np.zeros(16000), 16000)
    cut = MonoCut("a", 0.0, 1.0, channel=0, recording=Recording.from_file(tmp_path / "a 50%#.wav"))
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "errors.audio").write_text("no folder")
    link = audio_links([cut], tmp_path / "exp" / "errors.html")["a"]
    assert link == "../a%2050%25%23.wav" and Path(tmp_path, "exp", unquote(link)).exists()
