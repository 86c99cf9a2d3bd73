"""The page of a training: curves, figures, errors by length and noise, confusions; whole at any time of a training."""

import html.parser
import json

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, Recording

from icefall_discrete.metrics.wer import Transcript, count_errors
from icefall_discrete.results.error_groups import confusions, groups_of
from icefall_discrete.results.inline_charts import Line, line_chart
from icefall_discrete.results.training_curves import training_charts
from icefall_discrete.results.training_report import DecodedSet, listen, report_page

RATE = 8000


def epoch(number):
    losses = {"loss": 2.0 / number, "ctc": 1.0 / number}
    return {
        "epoch": number,
        "step": 10 * number,
        "lr": 0.05,
        "train": losses,
        "valid": losses,
        "dev_wer": 90.0 / number,
    }


@pytest.fixture
def exp_dir(tmp_path):
    folder = tmp_path / "exp" / "a & b"
    folder.mkdir(parents=True)
    summary = {"num_params": 1234, "num_epochs": 3, "epochs": [epoch(1), epoch(2), epoch(3)]}
    (folder / "train.json").write_text(json.dumps(summary))
    scored = {"num_utterances": 12, "wer": {"rate": 50.0}, "cer": {"rate": None}}
    result = {"feature_type": "toy<km>", "decoding": {"method": "greedy_search"}, "sets": {"test": scored}}
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def decoded(tmp_path):
    """Twelve utterances of growing length, every other one with an error, with audio."""
    cuts, transcripts = [], []
    for number in range(12):
        path = tmp_path / f"u{number}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(RATE // 4 + 100 * number), RATE)
        recording = Recording.from_file(path)
        cuts.append(MonoCut(f"u{number}", 0.0, recording.duration, 0, recording=recording))
        hyp = ("say", "<b>") if number % 2 else ("say", "a")
        transcripts.append(Transcript(f"u{number}", ("say", "a"), hyp))
    cuts = CutSet.from_cuts(cuts)
    return DecodedSet("test", "greedy_search", transcripts, cuts, listen(cuts, 100), "greedy_search/errors test.html")


class Tags(html.parser.HTMLParser):
    """Counts elements, and sees to it that each is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.count = [], {}

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "br", "path", "use", "rect", "image"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("path", "use", "rect", "image"):
            return
        assert self.open.pop() == tag


def tags_of(page):
    parser = Tags()
    parser.feed(page.partition("<body>")[2].partition("</body>")[0])
    assert not parser.open
    return parser.count


def test_a_whole_page(exp_dir, decoded):
    target = exp_dir / "report.html"
    page = report_page(exp_dir, [decoded], target, 3)
    count = tags_of(page)
    assert count["svg"] == 4 + 2 and count["article"] == 3 and count["audio"] == 3  # words are as many in each
    assert len(list(target.with_suffix(".audio").iterdir())) == 3
    assert "Set test, greedy_search: WER 25.00 %" in page and "6 of 12 utterances have no error" in page
    assert "toy&lt;km&gt; " in page and "<td>&lt;b&gt;</td>" in page and "<script" not in page
    assert page == report_page(exp_dir, [decoded], target, 3)


def test_a_training_that_has_just_begun(tmp_path):
    page = report_page(tmp_path, [], tmp_path / "report.html", 3)
    assert "Training has not ended an epoch yet" in page and not training_charts(tmp_path)
    tags_of(page)


def test_a_set_whose_audio_is_gone(exp_dir, decoded):
    page = report_page(exp_dir, [decoded._replace(cuts=None, snr_db={})], exp_dir / "report.html", 3)
    assert tags_of(page).get("audio", 0) == 0 and "Set test, greedy_search: WER 25.00 %" in page


def test_groups_keep_equal_values_together():
    counts = {f"u{number}": count_errors("ab", "ab" if number % 2 else "ac") for number in range(40)}
    bars = groups_of({name: 1.0 if place < 20 else float(place) for place, name in enumerate(counts)}, counts, str)
    assert [bar.name for bar in bars] == ["1.0", "20.0\nto 26.0", "27.0\nto 33.0", "34.0\nto 39.0"]
    assert bars[0].height == 25.0 and not groups_of({"u1": 1.0}, counts, str)


def test_confusions_are_counted():
    transcripts = [Transcript("a", ("x", "y"), ("x", "z", "w")), Transcript("b", ("y",), ("z",))]
    found = confusions(transcripts, 5)
    assert tuple(found[0]) == ("y", "z", 2)
    assert ("·", "w", 1) in [tuple(one) for one in found]


def test_a_chart_is_the_same_every_time():
    lines = [Line("a", [(0, 1.0), (5, 2.0)]), Line("b", [(0, 2.0)])]
    chart = line_chart(lines, "nats & more", "step")
    assert chart == line_chart(lines, "nats & more", "step")
    assert chart.startswith("<svg") and "nats &amp; more" in chart


def test_a_training_that_went_on_is_read_without_a_word_of_tensorboards(tmp_path, caplog):
    writers = pytest.importorskip("torch.utils.tensorboard")
    for step in (5, 3):  # two files, as of a run that went on; the other way round it warns
        writer = writers.SummaryWriter(str(tmp_path / "tensorboard"))
        writer.add_scalar("train/tot_loss", 1.0, step)
        writer.close()
    (chart,) = training_charts(tmp_path)
    assert chart.heading == "Loss" and not caplog.records


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("train.json", {"epochs": [{"train": {}}]}, r"train\.json: epoch 1 has no 'step', expected a whole number"),
        ("train.json", {"epochs": [{"step": 1, "valid": 3}]}, r"'valid' of epoch 1 is 3, expected an object"),
        ("result.json", {"sets": {"test": 7}}, r"'test' of 'sets' of .*result\.json is 7, expected an object; score"),
        ("result.json", [], r"result\.json holds a list, expected an object"),
    ],
)
def test_records_of_something_else_are_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=sentence):
        report_page(tmp_path, [], tmp_path / "report.html", 3)
