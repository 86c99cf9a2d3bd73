"""What run.sh would tell the planner, without a shell."""

from icefall_discrete.experiment.run_options import Asked
from icefall_discrete.experiment.stages import asr

OPTIONS = {
    "stage": "0",
    "stop_stage": "8",
    "dry_run": "false",
    "feature_type": "fbank",
    "recipe": "default",
    "env": "auto",
    "backend": "auto",
    "nj": "2",
    "device": "auto",
    "dtype": "float32",
    "resample": "false",
    "exp_dir": "",
    "data_dir": "data",
    "results_dir": "results",
    "speed_factors": "0.9 1.0 1.1",
    "languages": "",
    "label_fraction": "",
    "vocab_size": "",
    "max_duration": "",
    "num_epochs": "",
    "precision": "",
    "shar": "false",
    "world_size": "",
    "decoding_method": "",
    "lm": "",
    "lm_scale": "",
    "lm_text": "",
    "teacher": "",
    "seed": "42",
}
CORPUS = {
    "corpus": "toy",
    "title": "Toy",
    "train_split": "train",
    "dev_splits": "dev",
    "test_splits": "test-a test-b",
    "corpus_options": "",
    "variant": "",
    "known_languages": "en xx",
}
MANIFESTS = ("manifests", "manifests", "python", "local/prepare.py")


def asked(root, here, flags=(), **given):
    """What is asked for by options that differ from their defaults, and by flags of stages."""
    values = {**OPTIONS, **CORPUS, **given}
    return Asked(str(root), str(here), "run.sh", 8, values, given, tuple(flags), (MANIFESTS,))


def planned(root, here, flags=(), **given):
    """The plan of it; the working folder is the recipe's."""
    return asr.plan(asked(root, here, flags, **given))


def arguments(plan, script):
    """The arguments of the first planned command that runs local/<script>.py."""
    commands = [command for stage in plan.stages for command in stage.commands]
    return next(list(c.arguments[2:]) for c in commands if c.arguments[1].endswith(f"/local/{script}.py"))
