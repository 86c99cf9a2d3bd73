"""The network of an experiment that must be one system's."""

from pathlib import Path
from typing import Optional

from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.trained import trained_system
from icefall_discrete.experiment.transcription_files import kept_settings
from icefall_discrete.systems.prediction import RunConfig, Trained


def trained_as(system: str, exp_dir: Path, choice: Optional[CheckpointChoice], run: Optional[RunConfig]) -> Trained:
    """What the experiment in `exp_dir` has learnt as `system`.

    Args:
      choice: checkpoints; None: those of its recipe. run: device; None: the default one.
    Raises:
      FileNotFoundError: if a file of the experiment is missing. ValueError: if it is another system's.
    """
    experiment = Experiment(exp_dir)
    found = experiment.settings().system
    if found != system:
        raise ValueError(f"{exp_dir} was trained as system '{found}', expected '{system}'; give another folder.")
    chosen = resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir)
    return trained_system(experiment, chosen, (run or RunConfig()).torch_device())
