"""VoxCeleb1, verification: speakers of trials are kept out of training, lists that cannot be followed, all stages."""

import functools

import pytest
from recipe_checks import feature_type_of_environment, pipeline_in, prepared_cuts, run_recipe, run_sh
from stand_in import clips, write_audio, write_lines

from icefall_discrete.data.facts import facts_of
from icefall_discrete.data.manifests import CorpusError
from icefall_discrete.data.trials import Trial, read_trials

RECIPE = "voxceleb/SV"
LEARNT, TESTED = ("id10001", "id10002"), ("id10270", "id10271")
LIST = "veri_test2.txt"


def name_of(speaker, video, number=1):
    return f"{speaker}/video-{video}/0000{number}.wav"


TRIALS = [
    f"1 {name_of('id10270', 0)} {name_of('id10270', 1)}",
    f"1 {name_of('id10271', 1)} {name_of('id10271', 0)}",
    f"0 {name_of('id10270', 1)} {name_of('id10271', 0)}",
    f"0 {name_of('id10271', 1)} {name_of('id10270', 0)}",
]


def make_corpus(folder, num_videos=3):
    """Two speakers to learn and two of trials, videos of each, two utterances a video."""
    every = iter(clips(len(LEARNT + TESTED) * num_videos * 2))
    for speaker in LEARNT + TESTED:
        for video in range(num_videos):
            for number in (1, 2):
                write_audio(folder / "wav" / name_of(speaker, video, number), next(every).samples)
    write_lines(folder / LIST, TRIALS)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("voxceleb") / "corpus")


run = functools.partial(prepared_cuts, "voxceleb_verification", check_counts=False)


def test_speakers_of_trials_are_not_learnt_and_dev_is_a_video_of_each_other(prepare, whole, tmp_path):
    cuts = run(prepare, whole, tmp_path)
    assert {split: len(of_split) for split, of_split in cuts.items()} == {"train": 8, "dev": 4, "test": 4}
    assert {facts_of(cut)["speaker"] for cut in cuts["train"]} == set(LEARNT)
    assert {facts_of(cut)["video"] for cut in cuts["dev"]} == {"video-0"}
    trials = read_trials(tmp_path / "trials" / "test.txt")
    assert trials[2] == Trial(False, "id10270-video-1-00001", "id10271-video-0-00001")
    assert {cut.id for cut in cuts["test"]} == {name for trial in trials for name in trial[1:]}


@pytest.mark.parametrize(
    "lines, complaint",
    [
        ([], r"veri_test2\.txt: it holds no trial"),
        (
            ["1 id10270/../x.wav id10270/x/1.wav"],
            r"veri_test2\.txt, line 1: expected '<1 or 0> <utterance> <utterance>'",
        ),
        ([*TRIALS, f"1 {name_of('id10270', 0)} {name_of('id10270', 7)}"], r"test: 1 of 5 audio file is missing \(.*-7"),
        (TRIALS[:2], "all 2 trials are of the same speakers"),
        (TRIALS[2:], "all 2 trials are of different speakers"),
        ([*TRIALS, f"0 {name_of('id10270', 0)} {name_of('id10270', 1)}"], "trial 5 of .* is marked 0, but they are of"),
        ([*TRIALS, f"0 {name_of('id10270', 0)} {name_of('id10001', 1)}"], "the speaker of all 4 utterances is id10002"),
        ([*TRIALS, f"0 {name_of('id10002', 0)} {name_of('id10001', 1)}"], "train: it holds no utterance"),
    ],
)
def test_lists_that_cannot_be_followed(prepare, copied, tmp_path, lines, complaint):
    write_lines(copied / LIST, lines)
    with pytest.raises(CorpusError, match=complaint):
        run(prepare, copied, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_audio_of_a_trial_that_cannot_be_read_is_named(prepare, copied, tmp_path):
    (copied / "wav" / name_of("id10270", 1)).write_bytes(b"no audio")
    with pytest.raises(
        CorpusError, match=r"1 utterance that is not there, or cannot be read \(id10270-video-1-00001\)"
    ):
        run(prepare, copied, tmp_path / "data")


def test_other_counts_and_a_missing_list_are_refused(prepare, copied, tmp_path):
    with pytest.raises(CorpusError, match=r"veri_test2\.txt has 4 trials, the published list has 37611; unpack"):
        run(prepare, copied, tmp_path / "data", check_counts=True)
    (copied / LIST).unlink()
    with pytest.raises(CorpusError, match=r"lacks 1 of 2 parts \(veri_test2\.txt\); unpack"):
        run(prepare, copied, tmp_path / "data")


def test_the_plan_compares_trials(tmp_path):
    done = run_sh(RECIPE, "--dry-run", "true", "--data-dir", tmp_path, "--num-dev-trials", 7)
    assert done.returncode == 0, done.stdout
    assert f"--trials {tmp_path}/trials" in done.stdout and "--num-trials 7" in done.stdout
    assert "--decoding-method verification" in done.stdout


@pipeline_in("portable")
def test_run_sh(tmp_path):
    make_corpus(tmp_path / "download" / "voxceleb1", num_videos=4)
    flags = ("--check-counts", "false")
    result = run_recipe(RECIPE, feature_type_of_environment(tmp_path), tmp_path, flags)
    assert result["sets"]["test"]["num_trials"] == len(TRIALS) and result["decoding"]["method"] == "verification"
