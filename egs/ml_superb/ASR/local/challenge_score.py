#!/usr/bin/env python3
"""The scores of the Interspeech 2024 challenge on discrete speech units: a CER a test set, and bits a second.

A character error rate here counts the space as a character, as ESPnet's scoring does, where there is one in the text; a
set is scored as a whole. The bit rate is B = sum over streams m of N_m log2 V_m, over the seconds of audio (arXiv
2406.07725), of all sets together. ESPnet's calculate_bitrate.py averages log2 terms instead and prints 16.49 for the
baseline: that is not bits a second.
"""

import math
from pathlib import Path
from typing import Any, Dict, Iterable, Sequence

import numpy as np
from lhotse import MonoCut

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.names import some_names_in
from icefall_discrete.base.script import run_script
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames, num_frames
from icefall_discrete.metrics.wer import ErrorCounts, count_errors, normal_form, total_errors
from icefall_discrete.systems.asr.error_report import shown_rate
from icefall_discrete.systems.asr.prediction import AsrPrediction
from icefall_discrete.systems.asr.recogs import SaidText, read_texts

FLOAT_BITS = 32


def character_errors(texts: Iterable[SaidText]) -> ErrorCounts:
    """Errors as the challenge counts them: code points of the texts, spaces among them."""
    return total_errors(count_errors(*normal_form((text.ref, text.hyp))) for text in texts)


def num_runs(codes: np.ndarray) -> np.ndarray:
    """How many units are left of each of K streams of codes (T, K) once repeats of the one before are dropped, (K,)."""
    changed = (codes[1:] != codes[:-1]).sum(axis=0)
    return changed + (len(codes) > 0)


def bit_rates(cuts: Iterable[MonoCut], spec: FeatureSpec) -> Dict[str, float]:
    """Bits a second of all codes, and of codes without repeats; of features, 32 bits a value.

    Returns:
      {"bits_per_second", and for codes "bits_per_second_without_repeats"}.
    """
    seconds = frames = 0.0
    runs = np.zeros(spec.num_codebooks)
    for cut in cuts:
        seconds += cut.duration
        frames += num_frames(cut, spec)
        if spec.kind == "codes":
            runs += num_runs(load_frames(cut, spec))
    if spec.kind != "codes":
        return {"bits_per_second": frames * spec.feature_dim * FLOAT_BITS / seconds}
    bits = np.array([math.log2(size) for size in spec.codebook_sizes])
    return {
        "bits_per_second": float(frames * bits.sum() / seconds),
        "bits_per_second_without_repeats": float((runs * bits).sum() / seconds),
    }


def score(exp_dir: Path, method: str, feature_dir: Path, splits: Sequence[str]) -> Dict[str, Any]:
    """CER (%) with spaces of each split, and the bit rates of all of them together."""
    files, _ = AsrPrediction().last(exp_dir, method)
    spec = FeatureSpec.read(feature_dir / "spec.json")
    cuts = [cut for split in splits for cut in load_cuts(feature_dir / f"{split}.jsonl.gz")]
    errors = {split: character_errors(read_texts(files.texts(split), files.recogs(split))) for split in splits}
    rates = {
        split: {"cer": None if counts.known_rate is None else round(counts.known_rate, 4), "num_ref": counts.num_ref}
        for split, counts in errors.items()
    }
    return {"feature_type": spec.name, "decoding": files.folder.name, "sets": rates, **bit_rates(cuts, spec)}


def main() -> None:
    """Write challenge.json into the experiment and print it."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--exp-dir", type=Path, required=True, help="folder of the decoded experiment")
    parser.add_argument("--decoding-method", required=True, help="search to score")
    parser.add_argument("--feature-dir", type=Path, required=True, help="folder of the codes")
    parser.add_argument("--splits", required=True, help="evaluation sets, by commas")
    args = parser.parse_args()
    scores = score(args.exp_dir, args.decoding_method, args.feature_dir, some_names_in(args.splits, "splits"))
    write_json(args.exp_dir / "challenge.json", scores)
    for split, rate in scores["sets"].items():
        print(f"{split}: CER {shown_rate(rate['cer'])} % of {rate['num_ref']} characters, spaces among them")
    for name in ("bits_per_second", "bits_per_second_without_repeats"):
        if name in scores:
            print(f"{name.replace('_', ' ')}: {scores[name]:.2f}")


if __name__ == "__main__":
    run_script(main)
