"""What a trained language model of units does with the cuts of a split: it tells what their codes cost."""

import dataclasses
import zlib
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import is_speed_perturbed, language_of, load_cuts, load_frames
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.codes import CodeTargets
from icefall_discrete.lm.unit_bits import duration_bits, ngram_bits
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.unit_language import NGRAM_NAMES, ToldCut, language_figures
from icefall_discrete.systems.prediction import (
    Json,
    OutputFiles,
    RunConfig,
    SearchlessPrediction,
    Trained,
    predict_batches,
    rows_of_split,
)
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.systems.unit_lm.patterns import padded
from icefall_discrete.systems.unit_lm.ranking import RankingConfig, in_another_order, parts_of_chunks, parts_of_words
from icefall_discrete.systems.unit_lm.settings import TrainSettings
from icefall_discrete.systems.unit_lm.system import UnitLmSystem
from icefall_discrete.text.alignments import Alignments, read_alignments

METHOD = "told"
NOT_ASKED = "-"
_COLUMNS = 5


class ToldFiles(OutputFiles):
    """Paths of one prediction."""

    def said(self, split: str) -> Path:
        """`<cut id><tab><codes><tab><nats><tab><order ranked><tab><going on ranked>`, sorted by cut id."""
        return self.folder / f"told-{split}-{self.suffix}.tsv"

    def page(self, split: str) -> Path:
        """The same: there are no errors to read."""
        return self.said(split)


def read_told(path: Path) -> Dict[str, ToldCut]:
    """What was told of each cut. Raises FileNotFoundError, or ValueError naming the line."""
    found = {}
    for number, parts in rows_of_split(path):
        try:
            cut_id, codes, nats, *ranked = parts
            order, going_on = (None if value == NOT_ASKED else float(value) for value in ranked)
            found[cut_id] = ToldCut(float(codes), float(nats), order, going_on)
        except ValueError:
            raise ValueError(
                f"{path}:{number}: expected {_COLUMNS} columns, numbers behind the first; decode the split again."
            ) from None
    return found


class UnitLmPrediction(SearchlessPrediction[RankingConfig, ToldFiles, TrainSettings, UnitLm, CodeTargets]):
    """Codes are told, and ranked."""

    files = ToldFiles
    folder = METHOD
    config = RankingConfig
    section = "ranking"
    searchless = "codes are told without"

    def inputs(self, config: RankingConfig) -> List[Path]:
        """The alignment, if there is one that is a file."""
        return [Path(config.alignments)] if config.alignments and not Path(config.alignments).is_dir() else []

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, UnitLm, CodeTargets],
        cuts: CutSet,
        config: RankingConfig,
        run: RunConfig,
        files: ToldFiles,
    ) -> Json:
        """Write what the codes of each cut cost, and how the first of them are ranked."""
        system = UnitLmSystem(trained.network, trained.spec)

        @torch.no_grad()
        def tell(batch: Batch) -> List[ToldCut]:
            prepared = system.prepare(batch, run.torch_device())
            told = trained.network(prepared.codes, prepared.lens)
            return [ToldCut(*row) for row in zip(told.codes.tolist(), told.nats.tolist())]

        title = f"Telling {split}"
        said, facts = predict_batches(tell, trained.network.config, cuts, trained.spec, run, title)
        ranked = sorted((cut for cut in cuts if cut.id in said), key=lambda cut: cut.id)[: config.num_ranked]
        for cut_id, (order, going_on) in Ranking(trained.network, trained.spec, config).ranked(ranked).items():
            said[cut_id] = said[cut_id]._replace(order=order, going_on=going_on)
        write_text(files.said(split), "".join(_line(cut_id, one) for cut_id, one in sorted(said.items())))
        return facts

    def score(self, split: str, files: ToldFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Bits a second of the model and of n-grams, perplexity and rankings, over all; the first by language too."""
        if rules != ScoringRules():
            raise ValueError("scoring rules are about words, and codes have none; leave --scoring-rules away.")
        told, spec = read_told(files.said(split)), FeatureSpec.read(feature_dir / "spec.json")
        cuts = [cut for cut in load_cuts(feature_dir / f"{split}.jsonl.gz") if cut.id in told]
        train = [cut for cut in load_cuts(feature_dir / "train.jsonl.gz") if not is_speed_perturbed(cut)]
        seconds, lengths = sum(cut.duration for cut in cuts), duration_bits(train, cuts, spec)
        scored: Json = {"num_utterances": len(told), **_figures(told, cuts, lengths)}
        for order, bits in ngram_bits(train, cuts, spec, tuple(NGRAM_NAMES)).items():
            scored[NGRAM_NAMES[order]] = {"value": round((bits + lengths) / seconds, 3)}
        groups: Dict[str, List[Cut]] = {}
        for cut in cuts:
            groups.setdefault(language_of(cut) or "unknown", []).append(cut)
        scored["languages"] = {
            name: {"num_utterances": len(ours), **_figures(told, ours, duration_bits(train, ours, spec))}
            for name, ours in sorted(groups.items())
        }
        print(
            f"{split}: {scored['unit_bits']['value']:.1f} bits a second, perplexity "
            f"{scored['unit_perplexity']['value']:.2f}, of {len(told)} utterances"
        )
        return scored


def _figures(told: Mapping[str, ToldCut], cuts: List[Cut], more_bits: float) -> Json:
    return language_figures((told[cut.id] for cut in cuts), sum(cut.duration for cut in cuts), more_bits)


def _line(cut_id: str, told: ToldCut) -> str:
    ranked = (NOT_ASKED if value is None else f"{value:g}" for value in (told.order, told.going_on))
    return "\t".join((cut_id, f"{told.codes:g}", f"{told.nats:.6g}", *ranked)) + "\n"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Puts utterances against what is made of them."""

    network: UnitLm
    spec: FeatureSpec
    config: RankingConfig

    def ranked(self, cuts: List[Cut]) -> Dict[str, Tuple[Optional[float], Optional[float]]]:
        """Of each cut whether its own order, and its own way to go on, is more probable; None where neither is asked.

        It goes on as the next cut of the same language does, behind the same share of it; the nats of a code are
        compared, since the two differ in length.
        """
        known = read_alignments(self.config.alignments, self.config.tier) if self.config.alignments else {}
        codes = {cut.id: torch.from_numpy(load_frames(cut, self.spec)).long() for cut in cuts}
        others = _next_of_language(cuts)
        return {cut.id: (self._order(cut, codes[cut.id], known), self._going_on(cut.id, others, codes)) for cut in cuts}

    def _order(self, cut: Cut, codes: Tensor, known: Alignments) -> Optional[float]:
        rate = len(codes) / cut.duration
        if self.spec.has_variable_rate or cut.id not in known:
            begins = parts_of_chunks(len(codes), self.config.chunk_sec * rate)
        else:
            begins = parts_of_words(known[cut.id], len(codes), rate)
        moved, is_another = in_another_order(codes, begins, zlib.crc32(cut.id.encode()))
        return _won(*self._nats([codes, moved], 0)) if is_another else None

    def _going_on(self, name: str, others: Mapping[str, str], codes: Mapping[str, Tensor]) -> Optional[float]:
        own, other = codes[name], codes.get(others.get(name, ""))
        if other is None or min(len(own), len(other)) < 4:
            return None
        heard, rest = (int(len(one) * self.config.prompt_share) for one in (own, other))
        nats = self._nats([own, torch.cat([own[:heard], other[rest:]])], heard)
        return _won(nats[0] / (len(own) - heard), nats[1] / (len(other) - rest))

    @torch.no_grad()
    def _nats(self, rows: List[Tensor], after_frames: int) -> Tuple[float, float]:
        """Nats of two utterances behind their first frames."""
        pattern = self.network.pattern
        device = self.network.input_embedding.table.device
        steps = padded([pattern.arranged(row) for row in rows], pattern.stream_sizes).to(device)
        nats = self.network.tell(steps)[:, pattern.known_steps(after_frames) :].sum(dim=(1, 2)).tolist()
        return nats[0], nats[1]


def _won(own: float, other: float) -> float:
    return 0.5 if own == other else float(own < other)


def _next_of_language(cuts: List[Cut]) -> Dict[str, str]:
    """Of each cut the next one of its language, of the last the first; none where it is the only one."""
    groups: Dict[str, List[str]] = {}
    for cut in cuts:
        groups.setdefault(language_of(cut) or "", []).append(cut.id)
    return {
        name: names[(place + 1) % len(names)]
        for names in groups.values()
        if len(names) > 1
        for place, name in enumerate(names)
    }
