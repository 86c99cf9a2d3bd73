"""What a set of transcripts is worth: error rates by language, and the files and lines that tell of them."""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Sequence

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import load_cuts
from icefall_discrete.data.pseudo_labels import require_truth
from icefall_discrete.metrics.paired import Counts, utterance_counts
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import (
    ErrorCounts,
    Transcript,
    characters_of,
    confidence_interval,
    group_errors,
    total_errors,
    utterance_errors,
    words_themselves,
)
from icefall_discrete.systems.asr.decoding_files import DecodingFiles
from icefall_discrete.systems.asr.error_page import audio_links, error_page
from icefall_discrete.systems.asr.error_report import error_report, shown_rate, wer_summary
from icefall_discrete.systems.asr.examples import typical_examples, worst_utterances
from icefall_discrete.systems.asr.languages_said import read_languages, with_language_id
from icefall_discrete.systems.asr.recognition import language_by_cut
from icefall_discrete.systems.asr.recogs import read_recogs

LOG = logging.getLogger(__name__)
Json = Dict[str, Any]

_SYMBOLS = {"wer": words_themselves, "cer": characters_of}


def _rate(counts: ErrorCounts) -> Json:
    rate = counts.known_rate
    known = None if rate is None else round(rate, 4)
    return {"rate": known, "errors": counts.errors, **dataclasses.asdict(counts)}


def score_transcripts(transcripts: Sequence[Transcript], language_of: Dict[str, str]) -> Json:
    """Word and character error rates of one set, overall (with a 95 % interval) and per language.

    Args:
      transcripts: of every cut of the set. language_of: language by cut id.
    Returns:
      {"num_utterances", "num_empty", "num_empty_references", "wer": {"rate" in percent, counts, "interval"}, "cer": as
      "wer", "languages": {language: {"num_utterances", "num_empty_references", "wer", "cer"}}, "utterances": what
      `metrics/paired.py` reads}. Rate and interval are
      None where no reference has a word; errors are counted all the same.
    Raises:
      ValueError: if there is no transcript, or a cut has no language.
    """
    if not transcripts:
        raise ValueError("there is no transcript to score; decode first.")
    scored: Json = {
        "num_utterances": len(transcripts),
        "num_empty": sum(not transcript.hyp for transcript in transcripts),
        "num_empty_references": sum(not transcript.ref for transcript in transcripts),
        "languages": {},
    }
    by_cut: Dict[str, Counts] = {}
    for name, symbols_of in _SYMBOLS.items():
        counts = utterance_errors(transcripts, symbols_of)
        by_cut[name] = {cut_id: (errors.errors, errors.num_ref) for cut_id, errors in counts.items()}
        interval = confidence_interval(list(counts.values()))
        rounded = interval and [round(end, 2) for end in interval]
        scored[name] = {**_rate(total_errors(counts.values())), "interval": rounded}
        for language, errors in group_errors(counts, language_of).items():
            mine = [transcript for transcript in transcripts if language_of[transcript.cut_id] == language]
            facts = {"num_utterances": len(mine), "num_empty_references": sum(not one.ref for one in mine)}
            scored["languages"].setdefault(language, facts)[name] = _rate(errors)
    return {**scored, **utterance_counts(by_cut)}


def set_table(name: str, scored: Json) -> str:
    """The table that scoring prints: WER, CER and counts of one set, per language and overall.

    Where the model says languages, LID % is how often they are right.
    """
    header = [name, "utterances", "words", "WER %", "CER %", "ins", "del", "sub"]
    says_languages = "language_id" in scored
    header += ["LID %"] if says_languages else []
    parts = list(scored["languages"].items())
    groups = [*(parts if len(parts) > 1 else []), ("all", scored)]
    return text_table(
        header,
        [
            [
                label,
                str(group["num_utterances"]),
                str(group["wer"]["num_ref"]),
                shown_rate(group["wer"]["rate"]),
                shown_rate(group["cer"]["rate"]),
                *(str(group["wer"][kind]) for kind in ("insertions", "deletions", "substitutions")),
                *([f"{group['language_id']['rate']:.1f}"] if says_languages else []),
            ]
            for label, group in groups
        ],
    )


def score_split(split: str, files: DecodingFiles, feature_dir: Path, rules: ScoringRules) -> Json:
    """Score one split, write its errs and wer-summary files and print its table and some of its lines."""
    transcripts = [rules.scored(transcript) for transcript in read_recogs(files.recogs(split))]
    cuts = load_cuts(feature_dir / f"{split}.jsonl.gz")
    require_truth(cuts, "scoring")
    language_of = language_by_cut(cuts)
    scored = score_transcripts(transcripts, language_of)
    scored = with_language_id(scored, read_languages(files.languages(split)), language_of)
    write_text(files.errs(split), error_report(transcripts))
    title = f"{split}, {files.folder.name}"
    write_text(files.page(split), error_page(title, transcripts, audio_links(cuts, files.page(split)), language_of))
    write_text(files.wer_summary(split), wer_summary({files.folder.name: scored["wer"]["rate"]}))
    wer = scored["wer"]
    LOG.info(
        f"[{split}-{files.folder.name}] %WER {shown_rate(wer['rate'])}% [{wer['errors']} / {wer['num_ref']}, "
        f"{wer['insertions']} ins, {wer['deletions']} del, {wer['substitutions']} sub ]"
    )
    print(set_table(split, scored))
    if scored["num_empty"]:
        print(f"{scored['num_empty']} of {scored['num_utterances']} hypotheses are empty.\n")
    if scored["num_empty_references"]:
        print(
            f"{scored['num_empty_references']} of {scored['num_utterances']} references have no word that is scored; "
            "what was recognised there counts as insertions.\n"
        )
    print("\n".join([f"Typical utterances of {split}:", *typical_examples(transcripts, language_of), ""]))
    print("\n".join([f"Worst utterances of {split} (said->recognised):", *worst_utterances(transcripts), ""]))
    return scored
