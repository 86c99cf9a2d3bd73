"""Stage 5: train the text pieces on the transcripts of the training cuts."""

import hashlib
import logging
from pathlib import Path
from typing import Any, Dict, List

from icefall_discrete.config import StageParser, read_json, write_json
from icefall_discrete.data.bpe import TextEncoder, train_bpe
from icefall_discrete.data.cuts import is_speed_perturbed, load_cuts, text_of
from icefall_discrete.data.journal import different_keys
from icefall_discrete.stage import run_stage


def get_parser() -> StageParser:
    """The flags of this stage."""
    parser = StageParser(__doc__)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of the training split")
    parser.add_argument("--vocab-size", type=int, required=True, help="number of pieces, blank included")
    parser.add_argument("--lang-dir", type=Path, required=True, help="folder to write bpe.model and tokens.txt to")
    return parser


def is_trained(lang_dir: Path, inputs: Dict[str, Any]) -> bool:
    """Whether the folder holds pieces trained on `inputs`. Raises ValueError if they were trained on something else."""
    if not all((lang_dir / name).exists() for name in ("bpe.model", "tokens.txt", "bpe.json")):
        return False
    changed = different_keys(read_json(lang_dir / "bpe.json"), inputs)
    if changed:
        raise ValueError(
            f"{lang_dir} holds pieces trained with other {', '.join(changed)}; delete it to train anew (models trained "
            "with these pieces need them), or choose another folder."
        )
    return True


def main() -> None:
    """Train the pieces, or say that there is nothing to do."""
    args = get_parser().parse_args()
    texts: List[str] = [text_of(cut) for cut in load_cuts(args.cuts) if not is_speed_perturbed(cut)]
    inputs = {"vocab_size": args.vocab_size, "texts": hashlib.sha256("\n".join(texts).encode()).hexdigest()}
    if is_trained(args.lang_dir, inputs):
        logging.info("%s is trained already: nothing to do", args.lang_dir / "bpe.model")
        return
    train_bpe(texts, args.vocab_size, args.lang_dir / "bpe.model")
    encoder = TextEncoder(args.lang_dir / "bpe.model")
    encoder.write_tokens(args.lang_dir / "tokens.txt")
    write_json(args.lang_dir / "bpe.json", inputs)
    labels = sum(len(encoder.encode(text)) for text in texts)
    logging.info(
        "%d pieces from %d utterances; %.2f labels a word", encoder.vocab_size, len(texts), labels / _num_words(texts)
    )


def _num_words(texts: List[str]) -> int:
    return sum(len(text.split()) for text in texts)


if __name__ == "__main__":
    run_stage(main)
