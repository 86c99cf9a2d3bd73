"""Training of wav2vec-U: one seed after the other, and the one whose speech is most like text.

speech-train/, speech-dev/   what is heard (speech.py)
pooling.safetensors          how frames became segments
seeds/N/                     a training of seed N (training/fit_folder.py); seed.json and weights once it is done
seeds.json                   all of them, and which one is chosen
"""

import logging
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import torch

from icefall_discrete.base.checkpoint import load_checkpoint
from icefall_discrete.base.device import resolve
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance, read_record, recorded_in
from icefall_discrete.base.settings import to_dict
from icefall_discrete.base.tensor_files import write_tensors
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.dataset import derived_seed
from icefall_discrete.systems.wav2vec_u.config import RUNTIME_SETTINGS, Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import (
    WEIGHTED,
    Candidate,
    Judge,
    by_total_log_prob,
    by_weighted_perplexity,
    verdict,
)
from icefall_discrete.systems.wav2vec_u.speech import Pairs, Speech, whole_batches
from icefall_discrete.systems.wav2vec_u.system import Sizes, Wav2vecUSystem, build_network, optimizer_of
from icefall_discrete.systems.wav2vec_u.text import Text
from icefall_discrete.training.averages import epoch_path
from icefall_discrete.training.distributed import Group
from icefall_discrete.training.fit_folder import FitFolder, write_system
from icefall_discrete.training.optimization import UnchangedRates
from icefall_discrete.training.train_config import TrainConfig
from icefall_discrete.training.trainer import Trainer
from icefall_discrete.training.training_data import TrainingData, Unit

LOG = logging.getLogger(__name__)
SYSTEM_NAME = "wav2vec_u"
ORIGIN = "trained_from.json"
SEED_FILE, WEIGHTS, TABLE, SEEDS_DIR = "seed.json", "generator.safetensors", "seeds.json", "seeds"
UTTERANCES = Unit("utterances", "utterances")
RULES = {"weighted_perplexity": by_weighted_perplexity, "total_log_prob": by_total_log_prob}
# One sample of the weights a look, at its end: GANs are looked at as they are, not as means over time.
_NEVER = 10**9
_FIGURES = ("lm_ppl", "symbols_seen", WEIGHTED, "nats", "tokens")


class Material(NamedTuple):
    """Speech to learn from and to measure on, text, and what text is like."""

    train: Speech
    dev: Speech
    text: Text
    judge: Judge
    num_units: int = 0

    @property
    def sizes(self) -> Sizes:
        """Those of the networks."""
        return Sizes(self.train.dim, len(self.text.symbols), self.num_units)

    @property
    def digests(self) -> Dict[str, str]:
        """What a training is made from."""
        return {"speech": self.train.sha256, "dev_speech": self.dev.sha256, "text": self.text.sha256}


def loop_settings(config: Wav2vecUConfig, seed: int) -> TrainConfig:
    """The settings of the loop; what it calls an epoch is what lies between two looks."""
    train = config.train
    return TrainConfig(
        num_epochs=math.ceil(train.steps / train.check_steps),
        max_minutes=train.max_minutes,
        max_grad_norm=train.max_grad_norm,
        seed=seed,
        average_period=_NEVER,
        save_every_n=train.save_steps,
        keep_last_k=1,
        keep_epochs=1,
        best_by=WEIGHTED,
        decode_interval=1,
        log_interval=train.check_steps,
        max_bad_batches=0,
        try_largest_batches=False,
        device=train.device,
    )


class SeedTraining:
    """The training of one seed in a folder; one that was killed goes on, one that is done is read.

    Args:
      settings: without what only concerns the machine, for the record.
    """

    def __init__(self, config: Wav2vecUConfig, settings: Mapping[str, Any], material: Material, folder: Path) -> None:
        self._config, self._settings, self._material, self.folder = config, settings, material, folder

    def run(self, seed: int) -> Dict[str, Any]:
        """Figures of the best look, with `seed`, `step` and `looks`.

        Raises:
          ValueError: if the folder holds a training of something else. RuntimeError: if a loss is not finite.
        """
        fit = FitFolder(self.folder, f"wav2vec-U, seed {seed}")
        origin = self._origin(seed)
        if not (self.folder / SEED_FILE).is_file():
            fit.begin(origin)
            with fit.logged():
                self._train(seed)
        fit.finish()
        record = read_record(self.folder / SEED_FILE, "seed", "step", *_FIGURES)
        advice = "take another --exp-dir, or move that folder aside"
        origin.require_same(recorded_in(record, self.folder / SEED_FILE), f"{self.folder} was trained", advice)
        return record

    def _origin(self, seed: int) -> Provenance:
        return Provenance(self._material.digests, {**self._settings, "seed": seed})

    def _train(self, seed: int) -> None:
        config, material = self._config, self._material
        write_system(self.folder, SYSTEM_NAME, {"config": to_dict(config), "sizes": list(material.sizes)})
        torch.manual_seed(derived_seed(seed, 0))
        device = resolve(config.train.device, "training of wav2vec-U")
        system = Wav2vecUSystem(build_network(config, material.sizes), config, material.judge).to(device)
        optimizer = optimizer_of(system.network, config)
        facts = {
            "system": SYSTEM_NAME,
            "seed": seed,
            "symbols": material.sizes.num_symbols,
            "text_ppl": material.judge.text_ppl,
        }
        parts = (system, optimizer, UnchangedRates(optimizer), loop_settings(config, seed))
        summary = Trainer(*parts, self.folder, Group(), facts).fit(self._data(seed))
        if summary["best_valid_epoch"] is None:
            raise RuntimeError(f"{self.folder}: no look of seed {seed} could be measured; {system.if_not_finite}.")
        best = summary["epochs"][summary["best_valid_epoch"] - 1]
        weights = load_checkpoint(epoch_path(self.folder, best["epoch"]))["model"]
        own = {name: value for name, value in weights.items() if name.startswith("generator.")}
        write_tensors(self.folder / WEIGHTS, own)
        figures = {name: best[name] for name in _FIGURES}
        minutes = round(summary["train_sec"] / 60, 2)
        record = {"seed": seed, "step": best["step"], "looks": len(summary["epochs"]), **figures, "minutes": minutes}
        record["made_from"] = self._origin(seed).to_json()
        write_json(self.folder / SEED_FILE, record)

    def _data(self, seed: int) -> TrainingData:
        config, material = self._config, self._material
        train = config.train
        pairs = Pairs(material.train, material.text, config.text.silence_prob, train.batch_size, derived_seed(seed, 1))
        return TrainingData(
            lambda epoch, start: pairs.batches(
                (epoch - 1) * train.check_steps + start, min(epoch * train.check_steps, train.steps)
            ),
            float(train.check_steps * min(train.batch_size, len(material.train.lens))),
            figure_batches=lambda: whole_batches(material.dev, train.batch_size),
            amount_of=lambda batch: float(len(batch["cut_ids"])),
            unit=UTTERANCES,
        )


class Sweep:
    """Seeds in a row, and the choice among them."""

    def __init__(self, config: Wav2vecUConfig, settings: Mapping[str, Any], material: Material, folder: Path) -> None:
        self._config, self._settings, self._material, self._folder = config, settings, material, folder

    def begin(self) -> None:
        """Note what seeds are trained from. Raises ValueError if others in the folder are of something else.

        Seeds that have saved nothing yet hold nobody to what they began with.
        """
        origin = Provenance(self._material.digests, dict(self._settings))
        begun, seeds = Provenance.read_if_there(self._folder / ORIGIN), self._folder / SEEDS_DIR
        if begun is not None and any(any(seeds.glob(f"*/{saved}")) for saved in ("*.pt", SEED_FILE)):
            origin.require_same(begun, f"{self._folder} holds seeds trained", "take another --exp-dir")
        origin.write(self._folder / ORIGIN)

    def run(self, seeds: Sequence[int], rule: str) -> Dict[str, Any]:
        """Train the seeds, or what is left of them, and write `seeds.json`; returns what it says.

        A seed that fails is named in the table, and the others are trained all the same. `rule` is a name of RULES.

        Raises:
          RuntimeError: if all fail.
        """
        self.begin()
        rows: List[Dict[str, Any]] = []
        failed: Dict[str, str] = {}
        for seed in seeds:
            folder = self._folder / SEEDS_DIR / str(seed)
            try:
                rows.append(SeedTraining(self._config, self._settings, self._material, folder).run(seed))
            except RuntimeError as error:
                LOG.warning(f"seed {seed} failed: {error}")
                failed[str(seed)] = str(error)
        if not rows:
            raise RuntimeError(f"all {len(seeds)} seeds failed; the last one: {list(failed.values())[-1]}")
        candidates = [Candidate.of(row["seed"], row) for row in rows]
        chosen = RULES[rule](candidates)
        text_ppl = self._material.judge.text_ppl
        for row, one in zip(rows, candidates):
            row["verdict"] = verdict(one, text_ppl)
        found = {"text_ppl": text_ppl, "shuffled_text": self._material.text.shuffled, "rule": rule}
        found.update({"chosen": chosen.seed, "seeds": rows, "failed": failed})
        write_json(self._folder / TABLE, found)
        return found


def table_of(found: Mapping[str, Any], errors: Optional[Mapping[str, Mapping[int, str]]] = None) -> str:
    """The table of seeds, for a terminal; `errors`: by the head of a further column, what it says of each seed."""
    errors = errors or {}
    header = ("seed", "step", "lm ppl", "symbols seen %", "weighted ppl", "minutes", *errors, "")
    rows = []
    for row in found["seeds"]:
        mark = "chosen, " if row["seed"] == found["chosen"] else ""
        shown = (f"{row['lm_ppl']:.2f}", f"{100 * row['symbols_seen']:.0f}", f"{row[WEIGHTED]:.2f}")
        told = (f"{row['minutes']:.1f}", *(column[row["seed"]] for column in errors.values()))
        rows.append((str(row["seed"]), str(row["step"]), *shown, *told, mark + row["verdict"]))
    rows += [(seed, *[""] * (len(header) - 2), f"failed: {why}") for seed, why in found["failed"].items()]
    control = "; its symbols are in random order: a control" if found["shuffled_text"] else ""
    return text_table(header, rows) + f"text: perplexity {found['text_ppl']:.2f}{control}\n"


def settings_to_keep(config: Wav2vecUConfig) -> Dict[str, Any]:
    """Settings that decide what a seed becomes."""
    kept = to_dict(config)
    for name in RUNTIME_SETTINGS:
        kept["train"].pop(name)
    return kept
