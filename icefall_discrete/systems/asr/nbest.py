"""n-best lists of a decoding: the file with texts, scores and times, and the error rate of the best choice in them."""

import json
from typing import Any, Dict, Iterable, List, Sequence

from lhotse.cut import Cut

from icefall_discrete.base.atomic_files import PathLike, write_text
from icefall_discrete.decoding.hypothesis import Hypothesis
from icefall_discrete.metrics.wer import ErrorCounts, Transcript, count_errors, normal_form, total_errors
from icefall_discrete.systems.asr.transcription import make_segment
from icefall_discrete.text.pieces import TextEncoder
from icefall_discrete.text.words import words_in


def write_nbest(
    path: PathLike,
    cuts: Iterable[Cut],
    found: Dict[str, List[Hypothesis]],
    frame_sec: float,
    text_encoder: TextEncoder,
) -> None:
    """Write a JSON object a line for each cut: `id`, and `nbest` with text, score (nats), and words with their times.

    Where labels tell languages apart, the language is there too.

    Args:
      path: the file. cuts: in the order of the file. found: hypotheses by cut id, best first; a cut may be absent.
      frame_sec: duration of an encoder frame, in seconds. text_encoder: labels to text.
    """

    def entry(hypothesis: Hypothesis, duration: float) -> Dict[str, Any]:
        segment = make_segment([hypothesis], (0.0, duration), frame_sec, text_encoder)
        words = [{"word": w.text, "start": round(w.start_sec, 3), "end": round(w.end_sec, 3)} for w in segment.words]
        language = {"language": segment.language} if segment.language is not None else {}
        return {"text": segment.text, **language, "score": round(segment.score, 4), "words": words}

    lines = [
        {"id": cut.id, "nbest": [entry(hypothesis, cut.duration) for hypothesis in found.get(cut.id, [])]}
        for cut in cuts
    ]
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def oracle_errors(
    transcripts: Sequence[Transcript], found: Dict[str, List[Hypothesis]], text_encoder: TextEncoder
) -> ErrorCounts:
    """Word errors if of each cut's hypotheses the one with the fewest errors were taken."""

    def fewest(transcript: Transcript) -> ErrorCounts:
        texts = {text_encoder.decode(hypothesis.labels) for hypothesis in found.get(transcript.cut_id, [])} or {""}
        ref = normal_form(transcript.ref)
        every = (count_errors(ref, normal_form(words_in(text))) for text in texts)
        return min(every, key=lambda counts: counts.errors)

    return total_errors(fewest(transcript) for transcript in transcripts)
