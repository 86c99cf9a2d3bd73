"""What a trained model of text and speech does with the cuts of a split: it writes their texts, or says them."""

import dataclasses
from pathlib import Path
from typing import Iterator, List, Tuple, Type

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.base.settings import check_settings, section, setting
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import text_of, write_cuts
from icefall_discrete.data.dataset import Batch
from icefall_discrete.data.targets.worded_codes import WordedCodes
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.systems.asr.decoding_files import DecodingFiles
from icefall_discrete.systems.asr.recogs import SaidText, write_recogs, write_texts
from icefall_discrete.systems.asr.scoring import score_split
from icefall_discrete.systems.prediction import (
    Json,
    OutputFiles,
    RunConfig,
    SearchlessPrediction,
    Trained,
    in_batches,
    predict_batches,
    predict_cuts,
    with_average,
)
from icefall_discrete.systems.speech_lm.answers import Answerer
from icefall_discrete.systems.speech_lm.layouts import HEARD, SAID, layout_named
from icefall_discrete.systems.speech_lm.settings import TrainSettings
from icefall_discrete.systems.speech_lm.system import SpeechLmSystem
from icefall_discrete.systems.speech_lm.vocabulary import Vocabulary
from icefall_discrete.systems.tts.files import METHOD as SPOKEN
from icefall_discrete.systems.tts.files import SynthesisFiles, write_units
from icefall_discrete.systems.tts.scoring import score_synthesis
from icefall_discrete.systems.unit_lm.generation import SamplingConfig
from icefall_discrete.systems.unit_lm.network import UnitLm
from icefall_discrete.text.words import words_in

METHOD = "answers"
TrainedSpeechLm = Trained[TrainSettings, UnitLm, WordedCodes]


@dataclasses.dataclass(frozen=True)
class AnswerConfig:
    """What is asked, and how answers are said."""

    asked_task: str = setting("asr", "the layout that is asked with; its answer is a text, or the speech of a text")
    max_ids: int = setting(600, "most ids (bytes, or pieces) of a text that are said", minimum=1)
    max_speech_sec: float = setting(20.0, "most seconds of speech that are said of a text", above=0)
    sampling: SamplingConfig = section(lambda: SamplingConfig(temperature=0.0), "how the next id of a text is chosen")
    speech_sampling: SamplingConfig = section(
        lambda: SamplingConfig(temperature=0.8, top_p=0.9), "how the next code of speech is chosen"
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def most_frames(self, spec: FeatureSpec) -> int:
        """Most frames of speech that are said of a text."""
        return max(1, round(self.max_speech_sec * spec.frame_rate_hz))


class SpeechLmPrediction(SearchlessPrediction[AnswerConfig, OutputFiles, TrainSettings, UnitLm, WordedCodes]):
    """Texts are asked for, and scored as a recogniser's; or units of texts, scored as those of text to speech."""

    files = OutputFiles
    config = AnswerConfig
    searchless = "answers are said without"

    def method(self, asked: str) -> str:
        """That of answers in speech by its name, that of texts by any other."""
        return SPOKEN if asked == SPOKEN else METHOD

    def kind(self, method: str) -> Type[OutputFiles]:
        """Those of text to speech, or of a recogniser."""
        return SynthesisFiles if method == SPOKEN else DecodingFiles

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: AnswerConfig, checkpoints: str, averaged: bool
    ) -> OutputFiles:
        """`<exp>/answers`, or of answers in speech `<exp>/synthesis`, with the checkpoints as suffix."""
        suffix = with_average(checkpoints, averaged)
        asked = layout_named(settings.task.read(Vocabulary((1,))), config.asked_task)
        is_spoken = asked.answers_with == HEARD
        return SynthesisFiles(exp_dir / SPOKEN, suffix) if is_spoken else DecodingFiles(exp_dir / METHOD, suffix)

    def predict(
        self,
        split: str,
        trained: TrainedSpeechLm,
        cuts: CutSet,
        config: AnswerConfig,
        run: RunConfig,
        files: OutputFiles,
    ) -> Json:
        """Write the text of each cut, or units of its text. Raises ValueError for a task whose answers are neither."""
        if isinstance(files, SynthesisFiles):
            return _say(split, trained, cuts, config, run, files)
        assert isinstance(files, DecodingFiles), "there are two kinds"
        return _write(split, trained, cuts, config, run, files)

    def score(self, split: str, files: OutputFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Word and character error rates; of speech, of what was heard of it, beside measures of units and audio."""
        if isinstance(files, SynthesisFiles):
            return score_synthesis(split, files, feature_dir, rules)
        assert isinstance(files, DecodingFiles), "there are two kinds"
        return score_split(split, files, feature_dir, rules)


def _parts(trained: TrainedSpeechLm) -> Tuple[SpeechLmSystem, Answerer]:
    text = trained.targets.text
    voices = trained.targets.voices
    system = SpeechLmSystem(trained.network, trained.settings.task, trained.spec, text, voices)
    return system, Answerer(trained.network, system.layouts, trained.spec, text, voices)


def _write(
    split: str, trained: TrainedSpeechLm, cuts: CutSet, config: AnswerConfig, run: RunConfig, files: DecodingFiles
) -> Json:
    system, answerer = _parts(trained)
    if answerer.layout(config.asked_task).answers_with != SAID:
        raise ValueError(f"answers of task '{config.asked_task}' are no texts; ask with another, --asked-task.")

    def texts(batch: Batch) -> List[str]:
        asked = system.prepare(batch, torch.device("cpu"))
        return answerer.texts(config.asked_task, asked, config.sampling, config.max_ids)

    title = f"Asking for {split}"
    said, facts = predict_batches(texts, trained.network.config, cuts, trained.spec, run, title)
    refs = {cut.id: text_of(cut) for cut in cuts if cut.id in said}
    write_texts(files.texts(split), (SaidText(name, refs[name], hyp) for name, hyp in said.items()))
    write_recogs(
        files.recogs(split),
        (Transcript(name, tuple(words_in(refs[name])), tuple(words_in(hyp))) for name, hyp in said.items()),
    )
    return facts


def _say(
    split: str, trained: TrainedSpeechLm, cuts: CutSet, config: AnswerConfig, run: RunConfig, files: SynthesisFiles
) -> Json:
    system, answerer = _parts(trained)
    spec, every = trained.spec, {cut.id: cut for cut in cuts}
    if spec.has_variable_rate:
        raise ValueError(
            f"'{spec.name}' has units without repetitions, of which nothing says how long they last; let a vocoder "
            "that predicts it say texts: icefall-discrete synthesise --tts-exp-dir."
        )

    def units(batch: Batch) -> List[Tensor]:
        asked = system.prepare(batch, torch.device("cpu"))
        most = config.most_frames(spec)
        return answerer.said(config.asked_task, asked.names, asked.facts, config.speech_sampling, most)

    def say(kept: List[Cut]) -> Iterator[Tuple[str, Cut]]:
        told = in_batches(units, kept, spec, run)
        return write_units(split, files, spec, ((every[name], codes) for name, codes in told))

    found, facts = predict_cuts(say, trained.network.config, cuts, spec, f"Saying {split}")
    write_cuts(files.said(split), (found[name] for name in sorted(found)))
    return facts
