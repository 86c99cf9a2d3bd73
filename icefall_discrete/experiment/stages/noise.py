"""The stages of run_noise.sh, which measures what noise does to an experiment that run.sh has trained."""

import dataclasses
import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from icefall_discrete.base.settings_digest import digests_of
from icefall_discrete.decoding.methods import METHODS
from icefall_discrete.experiment.feature_stages import PUBLISHED, RULES, split_files, stage_flags
from icefall_discrete.experiment.plan import Command, Plan, Stage, digest_of
from icefall_discrete.experiment.run_options import FEATURES, Asked, Corpus, RunOptions
from icefall_discrete.experiment.stage_flags import dashed
from icefall_discrete.experiment.stage_notes import cksum
from icefall_discrete.experiment.stages import asr

SYSTEM = asr.SYSTEM
SCRIPTS: Dict[str, str] = {"mix": "make_noisy", "stability": "token_stability"}
_OWN_NOISES = ("babble", "white", "pink", "brown")


@dataclasses.dataclass(frozen=True)
class _Facts:
    """All that the stages are made from; `names` are those of the plan of the experiment's own run.sh."""

    asked: Asked
    corpus: Corpus
    names: Mapping[str, str]

    def __getitem__(self, option: str) -> str:
        return self.asked.values[option]

    @property
    def split(self) -> str:
        """The clean one."""
        return self["noisy_split"] or self.corpus.test_splits.split()[0]

    @property
    def conditions(self) -> List[str]:
        """The names of its noisy versions."""
        return [
            f"{self.split}-{kind}-snr{float(snr):g}" for kind in self.listed("kinds") for snr in self.listed("snrs")
        ]

    def listed(self, option: str) -> List[str]:
        """The values of an option that takes several."""
        return self[option].replace(",", " ").split()

    def cuts(self, split: str) -> str:
        """The manifest of a split."""
        return f"{self['data_dir']}/manifests/{self.corpus.corpus}_cuts_{split}.jsonl.gz"

    def codes(self, split: str) -> str:
        """The manifest of a split's codes."""
        return f"{self.names['features_dir']}/{split}.jsonl.gz"

    @property
    def noise_dir(self) -> str:
        """An experiment of its own, whose files are the trained one's: decoding leaves that one alone."""
        return f"{self.names['exp_dir']}/noise"

    def script(self, name: str, flags: Mapping[str, Optional[str]], output: str = "", folder: str = "local") -> Command:
        """A command of ours with these flags (None: left out)."""
        words = [word for flag, value in flags.items() if value is not None for word in (f"--{flag}", value)]
        return Command(("python", f"{self.asked.root}/{folder}/{name}.py", *words), output=output)


def plan(asked: Asked) -> Plan:
    """What run_noise.sh will do. Raises ValueError for whatever can be known to be wrong now."""
    found = asr.plan(asked)
    facts = _Facts(asked, asked.read(Corpus), found.names)
    _check(facts)
    missing = _missing(facts)
    if missing and asked.values["dry_run"] != "true":
        raise ValueError(missing)
    old_words = dict(found.old_words)
    spec, train = (
        _json_line(path, old_words)
        for path in (Path(facts.names["features_dir"]) / "spec.json", Path(facts.names["exp_dir"]) / "train.json")
    )
    stages = [_mixing(facts), *(_extraction(facts, condition, spec) for condition in facts.conditions)]
    stages += [*_decoding(facts, train), _page(facts)]
    return Plan(tuple(stages), found.names, (missing,) if missing else (), old_words)


def _check(facts: _Facts) -> None:
    flags = stage_flags(facts.asked.root, "noise", SCRIPTS)
    for option in ("snrs", "kinds", "num_talkers", "seed"):
        flags.check("mix", dashed(option), facts[option], dashed(option))
    for option in ("snrs", "kinds"):
        if not facts.listed(option):
            raise ValueError(f"--{option} is empty, expected at least one")
    recorded = facts["noise_cuts"]
    if recorded and not Path(recorded).is_file():
        raise ValueError(f"--noise-cuts {recorded} does not exist; paths are relative to the recipe's folder")
    for kind in facts.listed("kinds"):
        if not re.fullmatch("[a-z_]+", kind) or (kind not in _OWN_NOISES and not recorded):
            raise ValueError(
                f"--kinds has '{kind}'; known: {', '.join(_OWN_NOISES)}, and with --noise-cuts recorded, or the word "
                "that the ids of recorded noises begin with"
            )
    method = facts.names["decoding_method"]
    if METHODS[method].needs_graph:
        raise ValueError(
            f"--decoding-method {method} needs graphs, which these stages do not make; choose another search"
        )


def _missing(facts: _Facts) -> str:
    exp, features = facts.names["exp_dir"], facts.names["features_dir"]
    files = [f"{exp}/config.json", f"{exp}/train.json", f"{features}/spec.json", facts.codes(facts.split)]
    for file in (*files, facts.cuts(facts.split), facts.cuts(facts.corpus.train_split)):
        if not Path(file).is_file():
            options = facts.asked.read(RunOptions)
            return (
                f"{file} does not exist; train first: ./run.sh --feature-type {options.feature_type} --recipe "
                f"{options.recipe}"
            )
    return ""


def _json_line(path: Path, old_words: Dict[str, str]) -> str:
    """A line of settings of a JSON file; to write it in another way changes none."""
    if not path.is_file():
        return digest_of(str(path))
    (_, digest), *_ = digests_of([path], [FEATURES])
    line = f"{path.name}={digest}"
    old_words[line] = f"{path.name}={cksum(path.read_bytes())}"
    return line


def _mixing(facts: _Facts) -> Stage:
    clean, train = facts.cuts(facts.split), facts.cuts(facts.corpus.train_split)
    audio_dir, recorded = f"{facts['data_dir']}/noisy_audio", facts["noise_cuts"]
    flags = {"cuts": clean, "train-cuts": train, "audio-dir": audio_dir, "snrs": facts["snrs"], "kinds": facts["kinds"]}
    flags.update({"num-talkers": facts["num_talkers"], "seed": facts["seed"], "nj": facts["nj"]})
    command = facts.script("make_noisy", {**flags, "noise-cuts": recorded or None})
    settings = (*facts.asked.settings_of(["seed", "kinds", "snrs", "num_talkers"]), digest_of(clean), digest_of(train))
    settings += (digest_of(recorded),) if recorded else ()
    outputs = tuple(facts.cuts(condition) for condition in facts.conditions)
    marker = f"{audio_dir}/.done-{facts.split}"
    return Stage(0, f"noisy versions of {facts.split}", marker, settings, outputs, (command,))


def _extraction(facts: _Facts, condition: str, spec: str) -> Stage:
    folder, name = facts.names["features_dir"], facts.names["feature_name"]
    flags = {"feature-type": facts["feature_type"], "conf-dir": str(FEATURES), "cuts": facts.cuts(condition)}
    flags.update({"split": condition, "out-dir": folder, "nj": facts["nj"]})
    settings = (spec, digest_of(facts.cuts(condition)))
    title, marker = f"extraction of {name}, {condition}", f"{folder}/.done-{condition}"
    command = facts.script("extract_codes", flags)
    stale = split_files(folder, [condition])
    return Stage(1, title, marker, settings, (facts.codes(condition),), (command,), stale=stale)


def _decoding(facts: _Facts, train: str) -> List[Stage]:
    """Decoding, error rates and token stability."""
    method, folder = facts.names["decoding_method"], facts.noise_dir
    splits = [facts.split, *facts.conditions]
    settings = (f"decoding_method={method}", f"conditions={facts.conditions[0]}", *facts.conditions[1:])
    settings += (
        f"recipe_digest={facts.names['recipe_digest']}",
        train,
        *(digest_of(facts.codes(one)) for one in splits),
    )
    decode = {"exp-dir": folder, "feature-dir": facts.names["features_dir"], "splits": ",".join(splits)}
    decode.update({"recipe-config": facts.names["recipe_config"], "decoding-method": method})
    borrow = facts.script("borrow_experiment", {"exp-dir": facts.names["exp_dir"], "noise-dir": folder})
    scores = f"{folder}/{method}/scores.txt"
    stability = f"{facts['results_dir']}/noise/stability/{facts.names['feature_name']}{facts.names['suffix']}.json"
    flags = {"feature-dir": facts.names["features_dir"], "split": facts.split, "output": stability}
    flags["noisy-splits"] = ",".join(facts.conditions)
    marker = f"{facts.names['features_dir']}/.done-stability-{facts.split}"
    return [
        Stage(
            *(2, f"decoding with {method}", f"{folder}/.done-2-{method}", settings),
            commands=(borrow, facts.script("decode", decode)),
        ),
        Stage(3, "error rates", f"{folder}/.done-3-{method}", settings, (scores,), (_scoring(facts, scores),)),
        Stage(4, "token stability", marker, settings, (stability,), (facts.script("token_stability", flags),)),
    ]


def _scoring(facts: _Facts, scores: str) -> Command:
    method, task = facts.names["decoding_method"], Path(facts.asked.here).name
    said = {name: facts[name] for name in ("feature_type", "recipe")}
    said.update({"decoding_method": method, **{name: facts[name] for name in ("num_talkers", "seed")}})
    command = f"egs/{facts.corpus.corpus}/{task}/{facts.asked.script}"
    command += "".join(f" --{dashed(name)} {value}" for name, value in said.items())
    command += f" --snrs '{facts['snrs']}' --kinds '{facts['kinds']}'"
    flags: Dict[str, Optional[str]] = {"exp-dir": facts.noise_dir, "decoding-method": method}
    flags.update({"recipe": facts.names["recipe_name"] + facts.names["suffix"]})
    flags.update({"search-name": facts.names["search_name"] or None, "results-dir": f"{facts['results_dir']}/noise"})
    flags.update({"scoring-rules": str(RULES) if RULES.is_file() else None, "run-command": command})
    return facts.script("score", flags, scores)


def _page(facts: _Facts) -> Stage:
    """Tables and chart, made whenever they are asked for."""
    results = facts["results_dir"]
    flags: Dict[str, Optional[str]] = {"results-dir": results, "output": str(Path(results).parent / "RESULTS.md")}
    flags.update({"title": facts.corpus.title, "test-split": ",".join(facts.corpus.test_splits.split())})
    flags.update({"dev-split": ",".join(facts.corpus.dev_splits.split())})
    flags.update({"published": str(PUBLISHED) if PUBLISHED.is_file() else None})
    return Stage(5, "tables and chart", "", (), (), (facts.script("make_results", flags, folder="tools"),))
