"""Text <-> labels: a sentencepiece unigram model with icefall's ids (blank 0, sos/eos 1, unk 2)."""

import io
import re
from pathlib import Path
from typing import Iterable, List, Sequence, Union

import sentencepiece

from icefall_discrete.atomic_files import replacing, write_text

PathLike = Union[str, Path]
BLANK_ID, SOS_EOS_ID, UNK_ID = 0, 1, 2
SPECIAL_PIECES = ("<blk>", "<sos/eos>")  # ids 0 and 1; <unk> is 2


def _explain(error: Exception, vocab_size: int) -> str:
    text = " ".join(str(error).split())
    too_large = re.search(r"Vocabulary size too high \(\d+\).*?<= ?(\d+)", text)
    if too_large:
        return f"vocab_size {vocab_size} is too large for this text; the largest possible is {too_large.group(1)}."
    too_small = re.search(r"smaller than required_chars\. \d+ vs (\d+)", text)
    if too_small:
        return f"vocab_size {vocab_size} is too small for the text's characters; use at least {too_small.group(1)}."
    return f"sentencepiece could not train {vocab_size} pieces: {text}"


def train_bpe(texts: Iterable[str], vocab_size: int, model_path: PathLike) -> None:
    """Train a unigram model (Kudo 2018, https://arxiv.org/abs/1804.10959) and write it; same texts, same bytes.

    Every character of the texts is covered and text is not normalised, so training text has no unknown piece and
    decode(encode(text)) == text (up to repeated spaces).

    Args:
      texts: transcripts. vocab_size: number of pieces, the three special ones included. model_path: where to write.
    Raises:
      ValueError: if there is no text, or the vocabulary is too large (the largest possible is named) or too small.
    """
    lines = [text.strip() for text in texts if text.strip()]
    if not lines:
        raise ValueError("there is no text to train the pieces on; check the transcripts of the training cuts.")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            user_defined_symbols=list(SPECIAL_PIECES),
            unk_id=UNK_ID,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # sums of several threads would depend on their order
            max_sentence_length=1 << 20,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise ValueError(_explain(error, vocab_size)) from None
    with replacing(model_path) as temporary:
        temporary.write_bytes(model.getvalue())


class TextEncoder:
    """Text to labels and back. Raises FileNotFoundError or ValueError if `model_path` is missing or not a model."""

    def __init__(self, model_path: PathLike) -> None:
        path = Path(model_path)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; run the BPE stage first.")
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(path.read_bytes())
        except RuntimeError:
            raise ValueError(f"{path} is not a sentencepiece model; delete it and rerun the BPE stage.") from None
        if self._processor.piece_to_id(SPECIAL_PIECES[0]) != BLANK_ID:
            raise ValueError(f"{path}: piece 0 is not {SPECIAL_PIECES[0]}; train the pieces with the BPE stage.")

    @property
    def vocab_size(self) -> int:
        """Number of pieces V, the blank included."""
        return self._processor.get_piece_size()

    @property
    def blank_id(self) -> int:
        """Id of the blank, 0."""
        return BLANK_ID

    def encode(self, text: str) -> List[int]:
        """Labels (U,) of a transcript."""
        return self._processor.encode(text)

    def decode(self, labels: Sequence[int]) -> str:
        """Text of labels. Blank and sos/eos leave no trace."""
        return self._processor.decode([label for label in labels if label not in (BLANK_ID, SOS_EOS_ID)])

    def pieces(self) -> List[str]:
        """All pieces, in the order of their ids."""
        return [self._processor.id_to_piece(label) for label in range(self.vocab_size)]

    def write_tokens(self, path: PathLike) -> None:
        """Write tokens.txt, "piece id" lines, as icefall's decoders and sherpa read it."""
        write_text(path, "".join(f"{piece} {label}\n" for label, piece in enumerate(self.pieces())))
