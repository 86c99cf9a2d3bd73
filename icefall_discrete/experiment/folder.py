"""The experiment folder: what it holds, written before the first step, and checked before any later one."""

import contextlib
import filecmp
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from torch import Tensor

from icefall_discrete.base import environment
from icefall_discrete.base.atomic_files import new_folder
from icefall_discrete.base.json_files import read_object, write_json
from icefall_discrete.base.provenance import Provenance, Rules, differences
from icefall_discrete.base.settings_digest import json_digest
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.base.tensor_files import read_tensors, write_tensors
from icefall_discrete.data.targets import prompted_voices, voice_vectors
from icefall_discrete.data.targets.contract import Targets
from icefall_discrete.data.targets.pieces import PieceTargets
from icefall_discrete.nn.frame_network import FrameNetwork
from icefall_discrete.systems.contract import SystemStages, stages_of
from icefall_discrete.systems.training_settings import TrainSettings
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.training.averages import AVERAGED, read_summary
from icefall_discrete.training.train_config import TrainConfig

LOG = logging.getLogger(__name__)
# Settings that may change between two runs in one folder: they do not change what is learnt from a batch on.
_RULES = Rules(
    free=(
        "train.max_minutes",
        "train.save_every_n",
        "train.keep_last_k",
        "train.keep_epochs",
        "train.patience",
        "train.log_interval",
        "train.decode_interval",
        "train.decode_utterances",
        "train.max_bad_batches",
        "train.try_largest_batches",
        "train.device",
        "train.num_threads",
        "train.world_size",
        "train.sharded",
        "train.tensorboard",
        "train.tracker",
        "loader.num_workers",
    ),
    may_rise=("train.num_epochs",),
)
# Of these, what decides which batches are learnt from, or when training ends: it may change, but the run is another.
_DECIDES = ("train.max_minutes", "train.patience", "train.world_size")
# Of these, what decides which epoch is the best where dev figures do.
_DECIDES_THE_BEST = ("train.decode_interval", "train.decode_utterances")
# Folders of before it was written take the cuts of their next run.
DATA_FILE = "data.json"
TAKEN = "taken"  # what it says of weights that training began with
TOKENIZER_DIR = "tokenizer"
CODEBOOKS_FILE = "codebooks.safetensors"
# Files of targets that other targets of the same kind may do without.
_MAY_LACK = (prompted_voices.FILE, voice_vectors.FILE)
# What a training leaves of tensors before it has learnt anything.
_NO_WEIGHTS = (CODEBOOKS_FILE, *_MAY_LACK)
CONFIG_FILE = "config.json"
# What tells whose a folder is, and what it holds then.
_MARKS = {
    CONFIG_FILE: "an experiment",
    "fit.json": "a tokenizer's state",
    "extract-*.json": "features",
    "lm.json": "a language model",
    "wav2vec_u.json": "a training of wav2vec-U",
}
# A key that a file of an experiment has; without it somebody else wrote it.
_OWN_KEYS = {CONFIG_FILE: "system", DATA_FILE: "inputs", "env.json": "versions"}
# Files of the folder that tell of epochs, or of what other weights may have scored.
ONLY_FOR_TRAINING = ("train.json", "result.json")


def read_codebooks(path: Path) -> Optional[List[Tensor]]:
    """K tensors (V_k, D_k) of a codebooks.safetensors (keys "0", "1", ...), or None if there is no such file.

    Raises ValueError if it is damaged, or holds something else.
    """
    if not path.is_file():
        return None
    advice = "copy it anew from the folder of the features, or move it aside and rerun the stage that extracts them"
    found = read_tensors(path, advice)
    books = [found.tensors.get(str(index)) for index in range(len(found.tensors))]
    good = [book for book in books if book is not None and book.dim() == 2 and book.is_floating_point()]
    if not good or len(good) < len(books) or not found.all_finite():
        names = ", ".join(f"'{name}' {tuple(value.shape)}" for name, value in sorted(found.tensors.items())[:8])
        raise ValueError(f"{path} holds {names or 'nothing'}, expected finite codebooks (V, D) '0', '1' ...; {advice}.")
    return good


def require_experiment(exp_dir: Path) -> None:
    """Raise FileNotFoundError for a folder, or a name, that is none of an experiment."""
    if not (exp_dir / CONFIG_FILE).is_file():
        lacks = f"it has no {CONFIG_FILE}" if exp_dir.is_dir() else "there is no such folder"
        raise FileNotFoundError(f"{exp_dir} is no experiment: {lacks}; correct the name, or train it first.")


def require_no_other(folder: Path, own: str) -> None:
    """Raise ValueError if a folder that a training is to write to holds something of another kind.

    Args:
      own: the mark of that training, `CONFIG_FILE` of an experiment.
    """
    for mark, what in _MARKS.items():
        if mark != own and any(folder.glob(mark)):
            raise ValueError(f"{folder} holds {what}, which this training would be mixed with; give another --exp-dir.")


@contextlib.contextmanager
def told_if_newer(exp_dir: Path) -> Iterator[None]:
    """Let a ValueError about the folder say that a newer program made it, where its env.json tells so."""
    try:
        yield
    except ValueError as error:
        env = exp_dir / "env.json"
        newer = environment.newer_than_this(read_object(env)) if env.is_file() else None
        if newer is None:
            raise
        raise ValueError(
            f"{str(error).rstrip('.')}: {exp_dir} was made by {newer}, newer than this program; use a newer one."
        ) from None


def hand_on(exp_dir: Path, to: Path) -> int:
    """Copy averaged.pt and all that decoding needs beside it to the folder `to`; returns their size in bytes.

    What only training needs (epochs, checkpoints, logs) stays behind.
    Raises ValueError if the folder `to` holds anything.
    """
    exp_dir, to = Path(exp_dir), Path(to)
    Experiment(exp_dir).settings()  # of a folder that holds no experiment nothing is to be copied
    with new_folder(to) as unfinished:
        for path in sorted(exp_dir.iterdir()):
            if path.name in ONLY_FOR_TRAINING or path.name.startswith("."):
                continue
            if path.name == TOKENIZER_DIR:
                shutil.copytree(path, unfinished / path.name, ignore=shutil.ignore_patterns(".*"))
            elif path.is_file() and (path.suffix != ".pt" or path.name == AVERAGED):
                shutil.copy(path, unfinished / path.name)
    return sum(path.stat().st_size for path in to.rglob("*") if path.is_file())


class Experiment:
    """Files of one experiment: config.json, spec.json, targets, data.json, env.json, and codebooks.safetensors."""

    def __init__(self, exp_dir: Path) -> None:
        self.exp_dir = Path(exp_dir)

    def start(
        self,
        settings: TrainSettings,
        spec: FeatureSpec,
        targets: Targets,
        codebooks: Optional[List[Tensor]],
        data: Optional[Provenance] = None,
    ) -> None:
        """Write the folder's files, or check that those of an earlier run agree and that it may go on.

        The settings of an earlier run stay as they are until `note_settings`. One that ended before its first
        checkpoint holds nobody to its settings: its files are written anew.

        Args:
          data: what is trained on (`cuts_provenance`); None: not known, and not held against the earlier run.
        Raises:
          ValueError: if the earlier run had other settings, features, targets or cuts; the differences are named.
        """
        self.exp_dir.mkdir(parents=True, exist_ok=True)
        config_file, spec_file = self.exp_dir / "config.json", self.exp_dir / "spec.json"
        if not config_file.is_file():
            require_no_other(self.exp_dir, CONFIG_FILE)
        if not self.has_learnt():
            self._forget_beginning(targets)
        if config_file.is_file():
            before = self.settings()
            if before.system != settings.system:
                raise ValueError(
                    f"{self.exp_dir} was trained as system '{before.system}', now it is '{settings.system}'; "
                    "give another --exp-dir."
                )
            found = differences(before.to_dict(), settings.to_dict(), _RULES)
            if found:
                listed = "; ".join(f"{name}: {old!r} there, {new!r} now" for name, old, new in found)
                raise ValueError(
                    f"{self.exp_dir} was trained with other settings ({listed}). "
                    "Give the same ones to go on, or another --exp-dir to train anew."
                )
        if spec_file.is_file():
            self.spec().require_same(spec, str(spec_file), "the data")
        else:
            spec.write(spec_file)
        targets.save(self.exp_dir)
        self._settle_data(data)
        if codebooks is not None and settings.model.input.uses_codebooks(spec):
            write_tensors(self.exp_dir / CODEBOOKS_FILE, {str(index): book for index, book in enumerate(codebooks)})
        if not (self.exp_dir / "env.json").is_file():
            write_json(self.exp_dir / "env.json", environment.describe())
        if not config_file.is_file():
            self.note_settings(settings)

    def has_learnt(self) -> bool:
        """Whether a training here has saved anything, or weights lie here otherwise."""
        weights = [path for path in self.exp_dir.glob("*.safetensors") if path.name not in _NO_WEIGHTS]
        return (
            bool(weights)
            or any((self.exp_dir / name).is_file() for name in ONLY_FOR_TRAINING)
            or any(self.exp_dir.glob("*.pt"))
        )

    def _require_own(self, name: str) -> None:
        """Raise ValueError if a file that a beginning would have left is somebody else's."""
        path = self.exp_dir / name
        if path.is_file() and _OWN_KEYS[name] not in read_object(path):
            raise ValueError(
                f"{path} was not written by a training: it has no '{_OWN_KEYS[name]}'; give another --exp-dir."
            )

    def _forget_beginning(self, targets: Targets) -> None:
        """Remove what `start` wrote for a training that has saved nothing; not what would be written again."""
        with tempfile.TemporaryDirectory() as folder:
            targets.save(Path(folder))  # it may be read from this very experiment
            written = [path.name for path in Path(folder).iterdir()]
            _, others, _ = filecmp.cmpfiles(folder, self.exp_dir, written, shallow=False)
        others += [name for name in _MAY_LACK if name not in written]
        for name in _OWN_KEYS:
            self._require_own(name)
        began = (*_OWN_KEYS, "spec.json", CODEBOOKS_FILE)
        found = [path for path in (self.exp_dir / name for name in (*began, *others)) if path.is_file()]
        for path in found:
            path.unlink()
        if found:
            LOG.info(f"{self.exp_dir}: a training began here and ended before its first checkpoint; it begins anew.")

    def parts_taken(self) -> List[str]:
        """Parts of the network that were taken from elsewhere when the training began; none if it is not known."""
        data = Provenance.read_if_there(self.exp_dir / DATA_FILE)
        taken = data.noted.get(TAKEN) if data is not None else None
        return [str(part) for part in taken] if isinstance(taken, list) else []

    def note_settings(self, settings: TrainSettings) -> None:
        """Write down the settings that the run goes on with: they may differ where that decides about nothing made."""
        write_json(self.exp_dir / "config.json", {"system": settings.system, **settings.to_dict()})

    def _settle_data(self, data: Optional[Provenance]) -> None:
        if data is None:
            return
        path = self.exp_dir / DATA_FILE
        before = Provenance.read_if_there(path)
        if before is None:
            data.write(path)
        else:
            advice = "give the same cuts to go on, or another --exp-dir to train anew"
            data.require_same(before, f"{self.exp_dir} was trained", advice)

    def note_commit(self) -> None:
        """Add the commit that trains from here on to those of env.json, where it is another than before."""
        path = self.exp_dir / "env.json"
        made_by = read_object(path, "what made the experiment")
        commits, now = environment.commits_in(made_by), environment.git_revision()
        if now not in commits:
            write_json(path, {**made_by, "commits": [*commits, now]})

    def _config(self) -> Dict[str, Any]:
        require_experiment(self.exp_dir)
        return read_object(self.exp_dir / "config.json", "the settings of a training")

    def stages(self) -> SystemStages[Any, Any, Any]:
        """What the system of the run offers; of the default one if there is no run yet."""
        with told_if_newer(self.exp_dir):
            return stages_of(self._config() if (self.exp_dir / "config.json").is_file() else {})

    def settings(self) -> TrainSettings:
        """The settings of the run."""
        stages = self.stages()
        with told_if_newer(self.exp_dir):
            return stages.settings.from_dict(self._config(), str(self.exp_dir / "config.json"))

    def digest_but_seed(self) -> str:
        """Short proof of what decides the training but its seed: settings, features, cuts, processes, when it ends.

        Settings with their defaults are passed over, so that one which a later version adds changes nothing.
        """
        settings = self.settings()
        decides = _DECIDES if settings.train.best_by == TrainConfig.best_by else (*_DECIDES, *_DECIDES_THE_BEST)
        seed = Rules(free=(*(name for name in _RULES.free if name not in decides), "train.seed"))
        said = differences(type(settings).from_dict({}, "defaults").to_dict(), settings.to_dict(), seed)
        data = Provenance.read_if_there(self.exp_dir / DATA_FILE)
        made_of = {"system": settings.system, "settings": {name: now for name, _, now in said}}
        spec = read_object(self.exp_dir / "spec.json", "a spec")
        return json_digest({**made_of, "spec": spec, "data": data.compared() if data else {}})

    def spec(self) -> FeatureSpec:
        """The features that the model was trained on."""
        if not (self.exp_dir / "spec.json").is_file():
            require_experiment(self.exp_dir)
        with told_if_newer(self.exp_dir):
            return FeatureSpec.read(self.exp_dir / "spec.json")

    def targets(self) -> Targets:
        """What the run learns."""
        return self.stages().load_targets(self.exp_dir)

    def text_encoder(self) -> TextEncoder:
        """The pieces that the model emits. Raises ValueError if it emits no text."""
        targets = self.targets()
        if not isinstance(targets, PieceTargets):
            raise ValueError(
                f"{self.exp_dir} was trained as system '{self.settings().system}', which emits no text; give the "
                "folder of a recogniser."
            )
        return targets.text_encoder

    def build_model(self) -> FrameNetwork:
        """The model of the run with initial weights; load a state dict into it."""
        codebooks = read_codebooks(self.exp_dir / "codebooks.safetensors")
        return self.stages().network(self.settings(), self.spec(), self.targets(), codebooks)

    def is_finished(self, settings: TrainSettings) -> bool:
        """Whether training with these settings would do nothing more, as train.json has it."""
        path = self.exp_dir / "train.json"
        if not path.is_file():
            return False
        summary = read_summary(path)
        stopped_by, num_epochs = summary.get("stopped_by"), summary["num_epochs"]
        if stopped_by in ("num_epochs", "patience") and num_epochs >= settings.train.num_epochs:
            return True
        if stopped_by == "patience":
            return 0 < settings.train.patience <= num_epochs - (summary.get("best_valid_epoch") or 0)
        budget = settings.train.max_minutes
        return stopped_by == "max_minutes" and 0 < budget <= (summary.get("max_minutes") or 0.0)
