"""What a trained recogniser does with the cuts of a split: search, transcripts, error rates."""

import logging
from pathlib import Path
from typing import Any, Callable, List, Mapping, NamedTuple, Optional

import torch
from lhotse import CutSet

from icefall_discrete.base.flags import ScriptParser, add_flags, given_settings, override
from icefall_discrete.base.provenance import require_as_made
from icefall_discrete.base.settings import from_dict, to_dict
from icefall_discrete.data.cuts import language_of, text_of
from icefall_discrete.data.pseudo_labels import require_truth
from icefall_discrete.data.targets.pieces import FILE_NAME, PieceTargets
from icefall_discrete.decoding.fusion import Fusion, fusion_files
from icefall_discrete.decoding.joint_settings import label_search_settings
from icefall_discrete.decoding.k2_graph_files import GRAPH_STAGE, RECORD
from icefall_discrete.decoding.k2_searches import References
from icefall_discrete.decoding.methods import find_method, require_used
from icefall_discrete.decoding.search import check_method
from icefall_discrete.decoding.settings import DecodeConfig, require_enough
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.systems.asr.decoding_files import DecodingFiles, decoding_files, decoding_suffix
from icefall_discrete.systems.asr.error_report import shown_rate
from icefall_discrete.systems.asr.languages_said import write_languages
from icefall_discrete.systems.asr.nbest import oracle_errors, write_nbest
from icefall_discrete.systems.asr.recognition import WHOLE, StreamsConfig, in_words, recognise, texts_of
from icefall_discrete.systems.asr.recogs import write_recogs, write_texts
from icefall_discrete.systems.asr.scoring import score_split
from icefall_discrete.systems.asr.settings import TrainSettings
from icefall_discrete.systems.asr.transducer import Transducer
from icefall_discrete.systems.prediction import Json, Prediction, RunConfig, Trained
from icefall_discrete.text.coverage import Coverage
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in

LOG = logging.getLogger(__name__)
TrainedAsr = Trained[TrainSettings, Transducer, PieceTargets]


class Search(NamedTuple):
    """How a recogniser decodes: the search, and whether it does so chunk by chunk."""

    decode: DecodeConfig
    streams: StreamsConfig


def scorers(trained: TrainedAsr, config: DecodeConfig, device: torch.device) -> Optional[Callable]:
    """From a batch to what is added to the search's scores, or for the oracle to what was said; None: nothing."""
    if config.decoding_method == "fast_beam_search_nbest_oracle":
        decode = trained.targets.text_encoder.decode
        return lambda batch: References([words_in(text) for text in batch["text"]], decode)
    if not config.is_used:
        return None
    scores_end = find_method(config.decoding_method).from_label_to_label
    fusion = Fusion(config, trained.exp_dir / FILE_NAME, device, scores_end)
    return lambda batch: fusion.scorer(batch["cut_ids"])


def _report_coverage(split: str, cuts: CutSet, text_encoder: TextEncoder) -> None:
    """Say which characters of the references no hypothesis can have; languages without pieces are for the reader."""
    coverage = Coverage(split)
    for cut in cuts:
        language = language_of(cut)
        if not text_encoder.is_by_language or language in text_encoder.languages:
            text = text_of(cut)
            coverage.add(f"cut {cut.id}", text, text_encoder.outside(text, language))
    coverage.report(100.0, "The model cannot say them, so that they are errors.")


class AsrPrediction(Prediction[Search, DecodingFiles, TrainSettings, Transducer, PieceTargets]):
    """Transcripts by the search that the settings choose."""

    files = DecodingFiles

    def add_flags(self, parser: ScriptParser) -> None:
        """Flags of the search and of streaming."""
        add_flags(parser, DecodeConfig, "decode")
        add_flags(parser, StreamsConfig, "streaming")

    def read_settings(self, recipe: Mapping[str, Any], where: str, args: Any) -> Search:
        """Section `decode` of the recipe; streaming is chosen by flags alone."""
        config = override(from_dict(DecodeConfig, recipe.get("decode", {}), where), args, "decode")
        check_method(config.decoding_method)
        require_used(config.decoding_method, given_settings(args, "decode"))
        require_enough(config)
        return Search(config, override(WHOLE, args, "streaming"))

    def noted(self, config: Search) -> Json:
        """The search's settings, without those that records of before do not know where they are not used."""
        streams = {"streaming": to_dict(config.streams)} if config.streams.streaming else {}
        read = find_method(config.decode.decoding_method).settings
        unused = {name for name in (*label_search_settings(), "attention_scale") if name not in read}
        decode = {name: value for name, value in to_dict(config.decode).items() if name not in unused}
        return {**decode, **streams}

    def output(
        self, exp_dir: Path, settings: TrainSettings, config: Search, checkpoints: str, averaged: bool
    ) -> DecodingFiles:
        """The folder of the search, and icefall's suffix."""
        context_size = settings.model.heads.transducer.context_size
        suffix = decoding_suffix(checkpoints, averaged, config.decode, context_size)
        parts = [part for part in (suffix, config.streams.suffix) if part]
        return decoding_files(exp_dir, config.decode.decoding_method, "_".join(parts))

    def inputs(self, config: Search) -> List[Path]:
        """Language models, phrases and graphs."""
        folder = config.decode.graph_dir
        graphs = sorted(path for path in Path(folder).glob("[!.]*") if path.is_file()) if folder else []
        if folder:
            require_as_made(Path(folder) / RECORD, f"run {GRAPH_STAGE} again, which makes the graphs anew")
        return fusion_files(config.decode) + graphs

    def predict(
        self, split: str, trained: TrainedAsr, cuts: CutSet, config: Search, run: RunConfig, files: DecodingFiles
    ) -> Json:
        """Write recogs, languages where labels tell them, and n-best lists if asked for."""
        require_truth(cuts, "decoding, which compares,")
        network, spec, text_encoder = trained.network, trained.spec, trained.targets.text_encoder
        scorer_of, nbest = scorers(trained, config.decode, run.torch_device()), config.decode.nbest
        title = f"Decoding {split}"
        found, facts = recognise(network, cuts, spec, config.decode, run, title, scorer_of, config.streams)
        _report_coverage(split, cuts, text_encoder)
        texts = texts_of(cuts, found, text_encoder)
        transcripts = in_words(texts)
        write_texts(files.texts(split), texts)
        write_recogs(files.recogs(split), transcripts)
        if text_encoder.languages:
            write_languages(files.languages(split), cuts, found, text_encoder)
        if nbest > 1:
            write_nbest(files.nbest(split), cuts, found, network.config.encoder_frame_sec(spec), text_encoder)
            facts["nbest_oracle_wer"] = oracle_errors(transcripts, found, text_encoder).known_rate
            LOG.info(f"{split}: WER {shown_rate(facts['nbest_oracle_wer'])} if the best of {nbest} were always taken")
        return facts

    def score(self, split: str, files: DecodingFiles, feature_dir: Path, rules: ScoringRules) -> Json:
        """Error rates, with errs, wer-summary and a page of errors."""
        return score_split(split, files, feature_dir, rules)
