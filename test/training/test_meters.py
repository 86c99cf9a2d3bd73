import pytest

from icefall_discrete.training.meters import LossMeter, clock
from icefall_discrete.training.progress import Progress
from icefall_discrete.training.training_data import AUDIO, LABELS


def test_losses_are_per_frame_over_all_batches():
    meter = LossMeter()
    meter.add({"loss": 30.0, "ctc": 4.0}, frames=10, utterances=2)
    meter.add({"loss": 10.0, "ctc": 0.0}, frames=30, utterances=1)
    assert meter.per_frame() == {"loss": 1.0, "ctc": 0.1}
    assert str(meter) == "loss=1, ctc=0.1, over 40.00 frames."
    other = LossMeter()
    other.load_state_dict(meter.state_dict())
    other.decay(0.5)
    assert other.frames == 20.0 and other.per_frame() == meter.per_frame()
    assert LossMeter().per_frame() == {}


@pytest.mark.parametrize("seconds, text", [(0.4, "0s"), (59.6, "1m00s"), (725, "12m05s"), (11220, "3h07m")])
def test_durations_as_a_person_reads_them(seconds, text):
    assert clock(seconds) == text


def test_time_left_follows_from_the_speed_of_this_epoch():
    progress = Progress(epoch=3, epoch_amount=400.0, epoch_sec=4.0)
    assert progress.seconds_left(whole=1000.0, num_epochs=5) == {"epoch": 6.0, "run": 26.0}
    assert Progress().seconds_left(1000.0, 5) == {"epoch": 0.0, "run": 0.0}


def test_progress_of_an_earlier_version_is_taken_over():
    state = Progress(epoch=2, amount=90.0, epoch_amount=30.0, best_value=1.5, best_epoch=1).state_dict()
    former = {"audio_sec": "amount", "epoch_audio_sec": "epoch_amount", "best_valid_loss": "best_value"}
    former["best_valid_epoch"] = "best_epoch"
    old = {name: value for name, value in state.items() if name not in former.values()}
    progress = Progress()
    progress.load_state_dict({**old, **{name: state[now] for name, now in former.items()}})
    assert progress.state_dict() == state


def test_amounts_as_a_person_reads_them():
    assert (AUDIO.told(3720.0), LABELS.told(812.0)) == ("1h02m of audio", "812 labels")
