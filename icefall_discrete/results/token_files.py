"""What a page on tokens is made of: result files of recognisers and vocoders, of units, and folders of features."""

import collections
import dataclasses
from pathlib import Path
from typing import Any, DefaultDict, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from icefall_discrete import CONF_DIR
from icefall_discrete.base.json_files import read_json
from icefall_discrete.base.names import known_names
from icefall_discrete.base.shapes import NAME, NUMBER, OBJECT, OBJECTS, TEXT, or_null, read_shaped, require, shown
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.metrics.facts import Metric, metric_named
from icefall_discrete.results.ledger import origins_in, read_ledger
from icefall_discrete.results.seeds import over_seeds

Json = Dict[str, Any]
UNITS_FOLDER = "units"
_HEARD = (
    "WER of resynthesis is that of a recogniser of recordings, on what a vocoder makes of tokens; WER of recordings is "
    "that of the same one on them."
)
# In results of vocoders these stand under the names of any error rate.
_OF_AUDIO = {
    "wer": Metric("resynthesis_wer", "WER of resynthesis", "error rate", _HEARD),
    "wer_original": Metric("recordings_wer", "WER of recordings", "error rate", _HEARD),
}
_NOT_SHOWN = ("cer", "cer_original")
# What was said there is no resynthesis: noisy speech made clean, and texts. Folders of experiments are called so.
_OF_OTHER_AUDIO = ("enhancement", "synthesis")
_UNIT_FILE = {"feature_type": NAME, "features": OBJECT, "sets": OBJECT, "alignment": TEXT}
_LITERATURE = {"system": TEXT, "source": TEXT, "data": TEXT, "figures": OBJECT, "bits_per_second": or_null(NUMBER)}


def unit_result(spec: FeatureSpec, split: str, scores: Json, alignment: str, environment: Json) -> Json:
    """The content of a file of units: what the codes of `spec` say of the labels of a split, and who made it."""
    features = {
        "kind": spec.kind,
        "origins": origins_in(spec.provenance),
        "frame_rate_hz": spec.frame_rate_hz,
        "codebook_sizes": list(spec.codebook_sizes),
        "feature_dim": spec.feature_dim,
        "bits_per_second": spec.bits_per_second,
    }
    return {
        "feature_type": spec.name,
        "features": features,
        "alignment": alignment,
        "sets": {split: scores},
        "environment": environment,
    }


@dataclasses.dataclass
class TokenFacts:
    """All that is known of a feature type. features: as in result files. report: of its folder, empty without one.

    figures: by name of a metric. made_by: where a figure comes from, by the same names. units: what semantic figures
    rest on.
    """

    name: str
    features: Json = dataclasses.field(default_factory=dict)
    report: Json = dataclasses.field(default_factory=dict)
    figures: Dict[str, Json] = dataclasses.field(default_factory=dict)
    made_by: Dict[str, str] = dataclasses.field(default_factory=dict)
    units: Json = dataclasses.field(default_factory=dict)

    @property
    def bits_per_second(self) -> Optional[float]:
        """The nominal bit rate; None if no file says it."""
        return self.features.get("bits_per_second")

    def value(self, metric: Metric) -> Optional[float]:
        """Its figure; None if it was not measured."""
        return metric.of(self.figures)


def metric_of(name: str) -> Metric:
    """A figure of this page by name. Raises ValueError for an unknown one, with the known ones."""
    return {metric.name: metric for metric in _OF_AUDIO.values()}.get(name) or metric_named(name)


def read_tokens(corpus: Path, split: str) -> List[TokenFacts]:
    """What a corpus's folder of recipes, <corpus>/<task>/, has of each feature type on a split; falling bit rate.

    So that recognisers differ in their tokens alone, those of one recipe with its own search count, the one that most
    feature types have; of several vocoders of a feature type the least mel distance.

    Raises:
      ValueError: for a file that is no result, or a split of which nothing is known, where of others something is.
      FileNotFoundError: if there is nothing of any feature type.
    """
    found: Dict[str, TokenFacts] = {}
    splits: Set[str] = set()
    tasks = sorted(path for path in Path(corpus).glob("*") if path.is_dir())
    rows = [
        (task.name, row) for task in tasks for row in over_seeds(read_ledger(sorted((task / "results").glob("*.json"))))
    ]
    compared = _compared_recipe(rows, split)
    for name, row in rows:
        splits.update(row.get("sets") or {})
        is_compared = (name, row["recipe"]) == compared and not row.get("search")
        if is_compared or not _is_recogniser(row, split):
            _add_row(found.setdefault(row["feature_type"], TokenFacts(row["feature_type"])), row, split, name)
    for task in tasks:
        for path in sorted((task / "results" / UNITS_FOLDER).glob("*.json")):
            splits.update(_add_units(found, path, split))
        for path in sorted(task.glob("data/features/*/spec.json")):
            spec = FeatureSpec.read(path)
            facts = found.setdefault(spec.name, TokenFacts(spec.name))
            facts.features = {**unit_result(spec, split, {}, "", {})["features"], **facts.features}
            report = path.parent / "report.json"
            facts.report = read_shaped(report, {"splits": OBJECT}, "run stage 4 again") if report.is_file() else {}
            splits.update(facts.report.get("splits", {}))
    if not found:
        raise FileNotFoundError(
            f"{corpus} has neither results nor features of a feature type, <task>/results/*.json or "
            "<task>/data/features/*/; give the folder of a corpus, such as egs/<corpus>."
        )
    if splits and split not in splits:
        raise ValueError(f"{corpus} has nothing of the split '{split}'; {known_names(sorted(splits), split)}")
    return sorted(found.values(), key=lambda facts: (-(facts.bits_per_second or 0.0), facts.name))


def _is_of_other_audio(row: Json) -> bool:
    return (row.get("decoding") or {}).get("method") in _OF_OTHER_AUDIO


def _is_recogniser(row: Json, split: str) -> bool:
    """Whether its error rate is that of a recogniser of recordings."""
    scored: Json = (row.get("sets") or {}).get(split) or {}
    return "mel_distance" not in scored and "wer" in scored and not _is_of_other_audio(row)


def _compared_recipe(rows: Sequence[Tuple[str, Json]], split: str) -> Optional[Tuple[str, str]]:
    """Task and recipe of the recognisers, with their own search, that most feature types have; None without any."""
    types: DefaultDict[Tuple[str, str], Set[str]] = collections.defaultdict(set)
    for task, row in rows:
        if _is_recogniser(row, split) and not row.get("search"):
            types[task, row["recipe"]].add(row["feature_type"])
    return max(sorted(types), key=lambda recipe: len(types[recipe]), default=None)


def _add_row(facts: TokenFacts, row: Json, split: str, task: str) -> None:
    scored: Json = (row.get("sets") or {}).get(split) or {}
    facts.features = {**facts.features, **{key: value for key, value in (row.get("features") or {}).items() if value}}
    if _is_of_other_audio(row):
        return
    is_audio = "mel_distance" in scored
    leading = metric_named("mel_distance" if is_audio else "wer")
    value, before = leading.of(scored), facts.value(leading)
    if value is None or (before is not None and leading.best([value, before]) == before):
        return
    _add_figures(facts, _names_of_audio(scored) if is_audio else scored, f"{task} {row['recipe']}")


def _names_of_audio(scored: Json) -> Json:
    """The figures of a vocoder under the names that this page has for them."""
    kept = {name: figure for name, figure in scored.items() if name not in _NOT_SHOWN}
    return {_OF_AUDIO[name].name if name in _OF_AUDIO else name: figure for name, figure in kept.items()}


def _add_figures(facts: TokenFacts, scored: Json, made_by: str) -> None:
    for name, figure in scored.items():
        if isinstance(figure, Mapping) and ("rate" in figure or "value" in figure):
            facts.figures[name], facts.made_by[name] = dict(figure), made_by


def _add_units(found: Dict[str, TokenFacts], path: Path, split: str) -> Sequence[str]:
    """Add what a file of units has of a split; the splits that it knows."""
    result = read_shaped(path, _UNIT_FILE, "it holds no figures of units: run local/measure_units.py again")
    facts = found.setdefault(result["feature_type"], TokenFacts(result["feature_type"]))
    facts.features = {**result["features"], **facts.features}
    scored: Json = result["sets"].get(split) or {}
    facts.units = {**(scored.get("units") or {}), "alignment": result["alignment"]}
    _add_figures(facts, scored, f"labels of {result['alignment']}")
    return list(result["sets"])


def read_literature(path: Optional[Path] = None) -> List[Json]:
    """Figures of others on tokens, each with its source; by default those that come with the package.

    Raises:
      ValueError: for a file of another form, or a figure that is not known.
    """
    path = path or CONF_DIR / "literature" / "tokens.json"
    rows = read_json(path)
    if not OBJECTS.fits(rows):
        raise ValueError(f"{path} holds {shown(rows)}, expected a list of objects, one a published system; correct it.")
    for place, row in enumerate(rows):
        try:
            require(row, _LITERATURE, f"row {place}")
            for name in row["figures"]:
                metric_of(name)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; correct it.") from None
    return rows


def metrics_in(facts: Sequence[TokenFacts], names: Sequence[str]) -> List[Metric]:
    """Those of the figures called `names` that some feature type has."""
    return [metric for metric in map(metric_of, names) if any(one.value(metric) is not None for one in facts)]
