"""Crops: of a long utterance, the part that an epoch trains on."""

import random

from lhotse import MonoCut
from lhotse.utils import fastcopy


def cropped(cut: MonoCut, longest_sec: float, epoch: int, seed: int) -> MonoCut:
    """A part of `longest_sec` seconds of the cut, where it is longer, with its id and all that is said of it.

    Where the part begins is uniform over all places, and depends on seed, epoch (from 1) and id alone, so that an epoch
    can be gone on with. Supervisions stay as they are, so that this is for what is true of every part of an utterance,
    such as its speaker; its text is not. Frames must have a constant rate.
    """
    if cut.duration <= longest_sec:
        return cut
    offset = random.Random(f"{seed},{epoch},{cut.id}").random() * (cut.duration - longest_sec)
    return fastcopy(cut, start=cut.start + offset, duration=longest_sec)
