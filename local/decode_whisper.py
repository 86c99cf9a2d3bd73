#!/usr/bin/env python3
"""Decode the cuts of a corpus with Whisper's own decoder, zero-shot, and score them as a row beside the recipes' rows.

It is the anchor for recognisers on tokens of the same Whisper: they have its encoder's codes and the transcripts of the
corpus, it has the decoder that was trained with it on 680000 hours. What it says is brought to lower-case plain words
before it is scored.

Example, in egs/asterisk/ASR: ../../../local/decode_whisper.py --manifests data/manifests/asterisk_cuts_dev.jsonl.gz \
data/manifests/asterisk_cuts_test.jsonl.gz --splits dev,test --exp-dir exp/own_decoder --results-dir results
"""

import logging
import sys
import time
from pathlib import Path
from typing import Any, Dict

from lhotse import CutSet
from tqdm import tqdm

from icefall_discrete.audio.reading import load_samples
from icefall_discrete.base import environment
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import language_of, load_cuts, text_of
from icefall_discrete.data.pseudo_labels import require_truth
from icefall_discrete.inference.whisper_decoder import WhisperDecoder
from icefall_discrete.metrics.wer import Transcript
from icefall_discrete.results.ledger import add_to_ledger, describe_features, describe_training, portable_command
from icefall_discrete.systems.asr.decoding_files import DecodingFiles, decoding_files
from icefall_discrete.systems.asr.recognition import language_by_cut
from icefall_discrete.systems.asr.recogs import read_recogs, write_recogs
from icefall_discrete.systems.asr.scoring import score_transcripts, set_table
from icefall_discrete.text.plain_words import plain_words
from icefall_discrete.text.words import words_in
from icefall_discrete.tokenizers import load_tokenizer
from icefall_discrete.tokenizers.composed.continuous import ContinuousFrames
from icefall_discrete.tokenizers.frames.whisper import SAMPLE_RATE_HZ, WhisperFrames

LOG = logging.getLogger("decode_whisper")
ROOT = Path(__file__).resolve().parents[1]
METHOD = "own_decoder"


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--manifests", type=Path, nargs="+", required=True, help="cuts with audio, a file a split")
    parser.add_argument("--splits", required=True, help="names of the splits, by commas, in the order of the files")
    parser.add_argument("--feature-type", default="whisper_base", help="continuous states of the model (whisper_base)")
    parser.add_argument("--beam-size", type=Number(int, minimum=1), default=5, help="of its search (default: 5)")
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder for transcripts and result.json")
    parser.add_argument("--results-dir", type=Path, help="folder of results to add this one to (default: none)")
    return parser


def decode(cuts: CutSet, files: DecodingFiles, split: str, decoder: WhisperDecoder) -> Dict[str, Any]:
    """Write the transcripts of a split; returns seconds of audio and of computing."""
    start, audio_sec, transcripts = time.perf_counter(), 0.0, []
    for cut in tqdm(cuts, desc=f"decoding {split}", unit="cut"):
        said = decoder.text(load_samples(cut, SAMPLE_RATE_HZ), language_of(cut), f"cut {cut.id}")
        words = words_in(plain_words(said, language_of(cut)))
        transcripts.append(Transcript(cut.id, tuple(words_in(text_of(cut))), tuple(words)))
        audio_sec += cut.duration
    write_recogs(files.recogs(split), transcripts)
    return {"audio_sec": audio_sec, "decode_rtf": (time.perf_counter() - start) / audio_sec}


def main() -> None:
    """Decode, score, and write result.json."""
    args = get_parser().parse_args()
    splits = some_names_in(args.splits, "splits")
    if len(splits) != len(args.manifests):
        raise ValueError(f"--splits has {len(splits)} names, but there are {len(args.manifests)} manifests.")
    cuts_of = {split: load_cuts(manifest) for split, manifest in zip(splits, args.manifests)}
    tokenizer = load_tokenizer(args.feature_type)
    source = tokenizer.source if isinstance(tokenizer, ContinuousFrames) else None
    if not isinstance(source, WhisperFrames):
        raise ValueError(f"--feature-type {args.feature_type} is not states of Whisper; give one such as whisper_base.")
    decoder = WhisperDecoder(source.config.model, args.beam_size)
    files = decoding_files(args.exp_dir, METHOD, f"beam-size-{args.beam_size}")
    sets: Dict[str, Any] = {}
    for split, cuts in cuts_of.items():
        require_truth(cuts, "scoring")
        facts = decode(cuts, files, split, decoder)
        sets[split] = {**score_transcripts(read_recogs(files.recogs(split)), language_by_cut(cuts)), **facts}
        print(set_table(split, sets[split]))
    made = environment.describe()
    command = portable_command(made.get("command") or " ".join(sys.argv), ROOT)
    result = {
        "feature_type": tokenizer.name,
        "recipe": METHOD,
        "device": "cpu",
        "search": None,
        "device_name": environment.cpu_name(),
        "command": command,
        "commands": {"decode": command},
        "sets": sets,
        "features": describe_features(args.exp_dir, tokenizer.spec),
        "training": describe_training(args.exp_dir),
        "decoding": {"method": METHOD, "suffix": files.suffix, "beam_size": args.beam_size},
        "environment": {key: made.get(key) for key in ("git", "versions", "cpu", "cpu_count")},
        "scoring_rules": None,
    }
    write_json(args.exp_dir / "result.json", result)
    if args.results_dir:
        LOG.info(f"Wrote {add_to_ledger(args.results_dir, result)}")


if __name__ == "__main__":
    run_script(main)
