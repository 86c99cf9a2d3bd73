"""What a trained model of text and speech does with the cuts of a split: it is asked for their texts."""

import dataclasses
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Tuple

import torch
from lhotse import CutSet
from lhotse.cut import Cut

from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.settings import check_settings, from_dict, section, setting, to_dict
from icefall_discrete.data.cuts import text_of
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.decoding_files import DecodingFiles
from icefall_discrete.systems.asr.recogs import SaidText, write_recogs, write_texts
from icefall_discrete.systems.asr.scoring import score_split
from icefall_discrete.systems.prediction import Json, Prediction, RunConfig, Trained, in_batches, predict_cuts
from icefall_discrete.systems.speech_lm.answers import Answerer
from icefall_discrete.systems.speech_lm.layouts import SAID
from icefall_discrete.systems.speech_lm.settings import TrainSettings
from icefall_discrete.systems.speech_lm.system import SpeechLmSystem
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.text.words import words_in

METHOD = "answers"


@dataclasses.dataclass(frozen=True)
class AnswerConfig:
    """What is asked, and how answers are said."""

    asked_task: str = setting("asr", "the layout that is asked with; its answer is a text")
    max_ids: int = setting(600, "most ids of a text (bytes, or pieces), or codes of speech, that are said", minimum=1)
    sampling: SamplingConfig = section(lambda: SamplingConfig(temperature=0.0), "how the next id is chosen")

    def __post_init__(self) -> None:
        check_settings(self)


class SpeechLmPrediction(Prediction[AnswerConfig, DecodingFiles, TrainSettings, UnitLm, WordedCodes]):
    """Texts are asked for, and scored as a recogniser's."""

    files = DecodingFiles

    def add_flags(self, parser: ScriptParser) -> None:
        """Those of the answers."""
        add_flags(parser, AnswerConfig, "synthesis")

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> AnswerConfig:
        """Section `synthesis` of the recipe, over it the flags. Raises ValueError for settings of a search."""
        if recipe.get("decode"):
            raise ValueError(f"{where}: section decode chooses a search, and answers are said without; leave it away.")
        return override(from_dict(AnswerConfig, recipe.get("synthesis", {}), where), args, "synthesis")

    def noted(self, config: AnswerConfig) -> Json:
        """All of them."""
        return to_dict(config)

    def method(self, asked: str) -> str:
        """There is but one."""
        return METHOD

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: AnswerConfig, checkpoints: str, averaged: bool
    ) -> DecodingFiles:
        """`<exp>/answers`, with the checkpoints as suffix."""
        return DecodingFiles(exp_dir / METHOD, checkpoints + ("_use-averaged-model" if averaged else ""))

    def predict(
        self,
        split: str,
        trained: Trained[TrainSettings, UnitLm, WordedCodes],
        cuts: CutSet,
        config: AnswerConfig,
        run: RunConfig,
        files: DecodingFiles,
    ) -> Json:
        """Write the text of each cut. Raises ValueError for a task whose answers are no texts."""
        text = trained.targets.text
        system = SpeechLmSystem(trained.network, trained.settings.task, trained.spec, text)
        answerer = Answerer(trained.network, system.layouts, trained.spec, text)
        if answerer.layout(config.asked_task).answers_with != SAID:
            raise ValueError(f"answers of task '{config.asked_task}' are no texts; ask with another, --asked-task.")

        def say(kept: List[Cut]) -> Iterator[Tuple[str, str]]:
            def texts(batch: Batch) -> List[str]:
                asked = system.prepare(batch, torch.device("cpu"))
                return answerer.texts(config.asked_task, asked.facts, asked.codes, config.sampling, config.max_ids)

            return in_batches(texts, kept, trained.spec, run)

        said, facts = predict_cuts(say, trained.network.config, cuts, trained.spec, f"Asking for {split}")
        refs = {cut.id: text_of(cut) for cut in cuts if cut.id in said}
        write_texts(files.texts(split), (SaidText(name, refs[name], hyp) for name, hyp in said.items()))
        write_recogs(
            files.recogs(split),
            (Transcript(name, tuple(words_in(refs[name])), tuple(words_in(hyp))) for name, hyp in said.items()),
        )
        return facts

    def score(self, split: str, files: DecodingFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Word and character error rates."""
        return score_split(split, files, feature_dir, rules)
