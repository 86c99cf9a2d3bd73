#!/usr/bin/env python3
"""How a trained verification model hears each speaker of some cuts: a vector a speaker, in one file.

A vector is the mean of the embeddings of a speaker's recordings, each of length 1, and of length 1 itself. A model of
text and speech begins sequences with it: a layout with {voice}, and --voices FILE.

Example: local/embed_voices.py --verifier-exp-dir exp/fbank_default --cuts data/manifests/cuts_train.jsonl.gz \
--output voices.safetensors
"""

import logging
from pathlib import Path
from typing import Dict, Iterable, List

import torch
import torch.nn.functional as F
from lhotse.cut import Cut
from torch import Tensor
from tqdm import tqdm

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.base.flags import Number, ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.data.cuts import is_speed_perturbed, load_cuts
from icefall_discrete.data.facts import facts_of, require_fact
from icefall_discrete.data.targets.voice_vectors import VoiceVectors
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.inference.voice_judge import VOICE, VoiceJudge, load_voice_judges

LOG = logging.getLogger("embed")


def get_parser() -> ScriptParser:
    """The flags of this script."""
    parser = ScriptParser(__doc__)
    parser.add_argument("--verifier-exp-dir", type=Path, required=True, help="trained verification (SV), which hears")
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of cuts with audio and speakers")
    parser.add_argument("--output", type=Path, required=True, help="file to write, .safetensors")
    parser.add_argument(
        "--most-of-each",
        type=Number(int, minimum=1),
        default=50,
        help="recordings that are heard of each (default: 50)",
    )
    return parser


def by_speaker(cuts: Iterable[Cut], most: int) -> Dict[str, List[Cut]]:
    """The first `most` cuts of each speaker, by their ids; copies at other speeds are left out.

    Raises ValueError, naming the cut, for one whose speaker is not known.
    """
    found: Dict[str, List[Cut]] = {}
    for cut in sorted((one for one in cuts if not is_speed_perturbed(one)), key=lambda one: one.id):
        require_fact(cut, VOICE)
        found.setdefault(str(facts_of(cut)[VOICE]), []).append(cut)
    return {name: ours[:most] for name, ours in sorted(found.items())}


def vector_of(cuts: Iterable[Cut], judge: VoiceJudge) -> List[Tensor]:
    """The vector of a speaker by recordings, in a list; an empty one if each of them is too short."""
    heard = []
    for cut in cuts:
        try:
            samples = load_finite(cut, judge.sample_rate_hz).float()
            heard.append(F.normalize(judge.embedding(samples, cut.id), dim=0))
        except BadAudio as error:
            LOG.warning(f"left out: {error}")
    return [F.normalize(torch.stack(heard).mean(dim=0), dim=0)] if heard else []


def main() -> None:
    """Hear all speakers and write their vectors."""
    args = get_parser().parse_args()
    judge = load_voice_judges(args.verifier_exp_dir, None).verifier
    assert judge is not None, "one was asked for"
    speakers = by_speaker(load_cuts(args.cuts), args.most_of_each)
    found = {name: vector_of(cuts, judge) for name, cuts in tqdm(speakers.items(), desc="hearing", unit="speaker")}
    vectors = {name: one[0] for name, one in found.items() if one}
    if not vectors:
        raise ValueError(f"{args.cuts} has no recording that is long enough; give another manifest.")
    VoiceVectors(vectors).write(args.output)
    LOG.info(f"{args.output}: vectors of {len(vectors)} of {len(speakers)} speakers")


if __name__ == "__main__":
    run_script(main)
