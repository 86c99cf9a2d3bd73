#!/usr/bin/env python3
"""Find transcripts that may not be what was said: two recognisers contradict them in the same way.

Both files are recogs-<set>-*.txt of the same set, of models that are good and share as little as can be: your own one,
say, and a pretrained one (local/decode_whisper.py). Prints the doubtful cuts with the three texts, and the error rates
of all that are given, with and without them; nothing is changed. Listen before you correct a transcript: --page makes
a page with players.

Name each file: a folder has one for each search, and two searches of one model are no two recognisers.

Example: tools/doubtful_references.py exp/full/modified_beam_search/recogs-test-epoch-27_avg-6.txt \
exp/own_decoder/own_decoder/recogs-test-beam-size-5.txt --cuts data/manifests/asterisk_cuts_test.jsonl.gz \
--page exp/doubtful.html
"""

import logging
import sys
from pathlib import Path
from typing import Container, List, Sequence

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.json_files import read_object
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import from_dict
from icefall_discrete.base.text_tables import text_table
from icefall_discrete.data.cuts import language_of, load_cuts
from icefall_discrete.metrics.doubtful_references import LEAST_EXCESS, Doubt, doubtful_references
from icefall_discrete.metrics.scoring_rules import ScoringRules
from icefall_discrete.metrics.wer import Transcript, characters_of, total_errors, utterance_errors, words_themselves
from icefall_discrete.systems.asr.error_page import audio_links, error_page
from icefall_discrete.systems.asr.error_report import shown_rate
from icefall_discrete.systems.asr.recogs import read_recogs

LOG = logging.getLogger("doubtful_references")
# Transcripts of a corpus that trains anything are better than this.
MANY = 0.1


def get_parser() -> ScriptParser:
    """The flags of this tool."""
    parser = ScriptParser(__doc__)
    parser.add_argument("first", type=Path, help="recogs file of one recogniser")
    parser.add_argument("second", type=Path, help="recogs file of another one, of the same set")
    parser.add_argument("others", type=Path, nargs="*", help="further ones, whose error rates are told (default: none)")
    parser.add_argument(
        "--least",
        type=Number(int, minimum=1),
        default=LEAST_EXCESS,
        help="characters by which a reference is farther from both than they from each other",
    )
    parser.add_argument("--scoring-rules", type=Path, help="JSON file of words that are not scored (default: none)")
    parser.add_argument("--cuts", type=Path, help="manifest of the set, for the players of --page (default: no page)")
    parser.add_argument("--page", type=Path, help="page to listen to the doubtful cuts (default: none)")
    return parser


def figures(name: str, transcripts: Sequence[Transcript], doubted: Container[str]) -> List[str]:
    """A line of the table: error rates of all cuts, and of those whose reference is not doubted."""
    kept = [one for one in transcripts if one.cut_id not in doubted]
    shown = []
    for symbols_of in (words_themselves, characters_of):
        for some in (transcripts, kept):
            shown.append(shown_rate(total_errors(utterance_errors(some, symbols_of).values()).known_rate))
    return [name, *shown]


def told(doubts: Sequence[Doubt]) -> str:
    """The doubtful cuts, with the three texts of each below one another."""
    lines = (
        f"{one.cut_id}: {one.excess} characters\n  reference  {one.ref}\n  first      {one.first}\n"
        f"  second     {one.second}\n"
        for one in doubts
    )
    return "\n".join(lines)


def write_page(page: Path, manifest: Path, shown: Sequence[Transcript]) -> None:
    """Write the page with the players of these cuts; ValueError if the manifest lacks one."""
    cuts = {cut.id: cut for cut in load_cuts(manifest)}
    for one in shown:
        if one.cut_id not in cuts:
            raise ValueError(f"{manifest} lacks cut {one.cut_id}, which was decoded; give the manifest of that set.")
    links = audio_links((cuts[one.cut_id] for one in shown), page)
    languages = {one.cut_id: language_of(cuts[one.cut_id]) or "" for one in shown}
    title = "Doubtful references, and what the first recogniser understood"
    write_text(page, error_page(title, shown, links, languages))


def main() -> None:
    """Print what is doubtful, and what it does to the figures."""
    parser = get_parser()
    args = parser.parse_args()
    if (args.cuts is None) != (args.page is None):
        parser.error("--page and --cuts go together: the players need the audio that the manifest names.")
    path = args.scoring_rules
    rules = from_dict(ScoringRules, read_object(path), str(path)) if path else ScoringRules()
    understood = [[rules.scored(one) for one in read_recogs(path)] for path in (args.first, args.second, *args.others)]
    first, second = understood[:2]
    for path, some in zip(args.others, understood[2:]):
        if {one[:2] for one in some} != {one[:2] for one in first}:
            raise ValueError(f"{path} is not of the cuts and references of {args.first}; decode the same set.")
    doubts = doubtful_references(first, second, args.least)
    doubted = {one.cut_id for one in doubts}
    print(told(doubts))
    print(f"{len(doubts)} of {len(first)} references are doubtful.\n")
    if len(doubts) > MANY * len(first):
        LOG.warning("so many: are these two searches of one model, or of two that learnt from the same texts?")
    names = ["first", "second", *(f"{place}." for place in range(3, len(understood) + 1))]
    rows = [figures(name, some, doubted) for name, some in zip(names, understood)]
    print(text_table(["", "WER %", "without", "CER %", "without"], rows), end="")
    if args.page:
        write_page(args.page, args.cuts, [one for one in first if one.cut_id in doubted])
        LOG.info("Wrote %s", args.page)


if __name__ == "__main__":
    run_script(main)
