"""A trained experiment, ready to be used on cuts."""

import torch

from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.systems.prediction import Trained


def trained_system(experiment: Experiment, choice: CheckpointChoice, device: torch.device) -> Trained:
    """The experiment's network with averaged weights, ready to predict, and what belongs to it."""
    network = experiment.build_model()
    load_into(network, choice, experiment.exp_dir)
    parts = (experiment.settings(), experiment.spec(), experiment.targets())
    return Trained(experiment.exp_dir, *parts, network.to(device).eval())
