#!/usr/bin/env python3
"""What a model of train_unsupervised.py says of a split; its error rate where there are transcripts, and pseudo-labels.

Symbols of each cut go to <exp-dir>/said/<split>-<search>-seedN.tsv, figures to a JSON beside. With --all-seeds every
seed speaks, and score_unsupervised.py sets them side by side. With --pseudo-labels a manifest of cuts is written, as by
pseudo_label.py, for recognisers to learn from.

Example: local/say_unsupervised.py --exp-dir exp/unsupervised --feature-dir data/features/whisper_base_l4 --split test \
--beam-size 8 --lm-scale 0.5
"""

import logging
import time
from pathlib import Path
from typing import Any, Dict, List

from lhotse import CutSet

from icefall_discrete.base import environment
from icefall_discrete.base.atomic_files import write_text
from icefall_discrete.base.flags import Number, ScriptParser, add_flags, override
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import names_in
from icefall_discrete.base.provenance import digest_of_file
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import require_manifest_name, without_frames, write_cuts
from icefall_discrete.data.label_share import is_pseudo_labelled
from icefall_discrete.data.pseudo_labels import pseudo_labelled
from icefall_discrete.experiment.folder import read_codebooks
from icefall_discrete.metrics.symbol_errors import symbol_scores
from icefall_discrete.metrics.wer import ErrorCounts, count_errors, total_errors
from icefall_discrete.systems.wav2vec_u.judge import doubt_of
from icefall_discrete.systems.wav2vec_u.material import Heard, hear
from icefall_discrete.systems.wav2vec_u.pooling import Pooling
from icefall_discrete.systems.wav2vec_u.saying import SayConfig, Speaker
from icefall_discrete.systems.wav2vec_u.seed_scores import METRIC_OF, read_seeds, said_file, weights_of
from icefall_discrete.systems.wav2vec_u.speech import padded_batch
from icefall_discrete.systems.wav2vec_u.text import words_of

LOG = logging.getLogger("say_unsupervised")
_BATCH = 32


def get_parser() -> ScriptParser:
    """The flags of this stage."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of train_unsupervised.py")
    parser.add_argument(
        "--seed", type=Number(int, minimum=-1), default=-1, help="which seed speaks; -1: the chosen one (default: -1)"
    )
    parser.add_argument(
        "--all-seeds",
        type=Number(bool),
        nargs="?",
        const=True,
        default=False,
        help="let the others speak too, for the table of seeds (default: false)",
    )
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder of the same features")
    parser.add_argument("--split", default="test", help="split that is heard (default: test)")
    parser.add_argument("--languages", default="", help="of these languages only, by commas (default: all)")
    parser.add_argument("--pseudo-labels", type=Path, help="manifest of cuts to write, .jsonl.gz (default: none)")
    add_flags(parser, SayConfig)
    return parser


def said_of(speaker: Speaker, pooling: Pooling, heard: Heard, config: SayConfig) -> Dict[str, List[int]]:
    """Symbols of each cut."""
    cuts = sorted(heard.cuts, key=lambda cut: cut.duration)
    groups = (cuts[start : start + _BATCH] for start in range(0, len(cuts), _BATCH))
    batches = (
        padded_batch([cut.id for cut in group], [pooling(heard.frames_of(cut)) for cut in group]) for group in groups
    )
    return speaker.say(batches, config)


def score(speaker: Speaker, heard: Heard, said: Dict[str, List[int]]) -> Dict[str, Any]:
    """Errors over symbols, silence left out, of the cuts that have a transcript of their own."""
    counts: Dict[str, ErrorCounts] = {}
    unsaid = []
    for cut in heard.cuts:
        text = " ".join(one.text or "" for one in cut.supervisions).strip()
        if not text or is_pseudo_labelled(cut):
            continue
        try:
            ref = tuple(symbol for word in words_of(text, speaker.config.text) for symbol in word)
        except ValueError:
            unsaid.append(cut.id)
            continue
        counts[cut.id] = count_errors(ref, [speaker.symbols[one] for one in said[cut.id]])
    if unsaid:
        LOG.warning(f"{len(unsaid)} cuts are not scored, such as {unsaid[0]}: nothing of their transcripts is said")
    metric, total = METRIC_OF[speaker.config.text.front], total_errors(counts.values())
    return {
        "num_cuts": len(heard.cuts),
        "num_scored": len(counts),
        "num_unsaid": len(unsaid),
        "errors": total.errors,
        "symbols": total.num_ref,
        "metric": metric,
        "scores": {**symbol_scores(metric, counts), "num_utterances": len(counts)},
    }


def say_split(args: Any, speaker: Speaker, pooling: Pooling, heard: Heard, config: SayConfig) -> Dict[str, List[int]]:
    """Say a split, and write what was said and its figures; returns what was said."""
    began = time.perf_counter()
    said = said_of(speaker, pooling, heard, config)
    wall_sec, audio_sec = time.perf_counter() - began, sum(cut.duration for cut in heard.cuts)
    path = said_file(args.exp_dir, args.split, config.name, speaker.seed)
    rows = "".join(f"{cut}\t{' '.join(speaker.symbols[one] for one in row)}\n" for cut, row in sorted(said.items()))
    write_text(path.with_suffix(".tsv"), rows)
    figures = score(speaker, heard, said)
    figures["scores"].update(audio_sec=audio_sec, decode_rtf=wall_sec / audio_sec if audio_sec else None)
    made_by = {"weights_sha256": digest_of_file(weights_of(args.exp_dir, speaker.seed))}
    made_by.update(git=environment.git_revision(), device_name=environment.cpu_name())
    write_json(path, {**figures, **made_by})
    if figures["symbols"]:
        rate = 100 * figures["errors"] / figures["symbols"]
        name = f"{args.split}, {config.name}, seed {speaker.seed}"
        print(f"{name}: {rate:.1f} % of {figures['symbols']} symbols are wrong")
    return said


def write_labels(args: Any, speaker: Speaker, heard: Heard, said: Dict[str, List[int]], config: SayConfig) -> None:
    """Write the manifest of pseudo-labels, each with what is known of its seed; none if that says nothing."""
    table = read_seeds(args.exp_dir)
    told = next((row["verdict"] for row in table["seeds"] if row["seed"] == speaker.seed), "no seed of the table")
    doubt = doubt_of(told, table["shuffled_text"])
    if doubt:
        LOG.warning(
            f"the seed {speaker.seed} that says the pseudo-labels is {doubt}: what learns from them learns that"
        )
    source = {
        "seed": speaker.seed,
        "verdict": doubt or told,
        "model": args.exp_dir.resolve().name,
        "weights_sha256": digest_of_file(weights_of(args.exp_dir, speaker.seed)),
        "commit": environment.git_revision(),
        "search": config.name,
    }
    texts = {cut.id: speaker.as_text(said[cut.id]) for cut in heard.cuts if said[cut.id]}
    kept = [pseudo_labelled(without_frames(cut), texts[cut.id], source) for cut in heard.cuts if cut.id in texts]
    if not kept:
        LOG.warning(f"seed {speaker.seed} says nothing of any cut of {args.split}: {args.pseudo_labels} is not written")
        return
    write_cuts(args.pseudo_labels, CutSet.from_cuts(kept))
    LOG.info(f"{args.pseudo_labels}: {len(kept)} of {len(heard.cuts)} cuts; the others say nothing")


def main() -> None:
    """Say one split."""
    args = get_parser().parse_args()
    config = override(SayConfig(), args)
    speaker = Speaker(args.exp_dir, args.seed)
    if args.pseudo_labels:
        require_manifest_name(args.pseudo_labels)
        speaker.require_text()
    languages = names_in(args.languages)
    books = read_codebooks(args.feature_dir / "codebooks.safetensors")
    heard = hear(args.feature_dir, args.split, languages, books, speaker.spec)
    pooling = Pooling.load(args.exp_dir)
    seeds = [row["seed"] for row in read_seeds(args.exp_dir)["seeds"]] if args.all_seeds else []
    for seed in seeds:
        if seed != speaker.seed:
            say_split(args, Speaker(args.exp_dir, seed), pooling, heard, config)
    said = say_split(args, speaker, pooling, heard, config)
    if args.pseudo_labels:
        write_labels(args, speaker, heard, said, config)


if __name__ == "__main__":
    run_script(main)
