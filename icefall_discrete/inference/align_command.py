"""`icefall-discrete align`: when the words of known texts were said, by a trained experiment.

Utterances are audio files, each with its text in x.txt or x.lab beside it (or --text for a single one), or the cuts of
a manifest with texts (--cuts). Lines of a CTM file go to standard output: recording, channel, start and duration in
seconds, word, probability. With --to DIR, files go there instead: words.ctm, pieces.ctm, supervisions.jsonl.gz (of
lhotse, with both alignments) and a TextGrid for each utterance. What cannot be aligned is named on standard error; the
others are aligned all the same, and the exit status is 1.
"""

import logging
import sys
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Union

from lhotse.cut import Cut

from icefall_discrete.audio.reading import UnreadableAudio, load_finite
from icefall_discrete.base.atomic_files import require_folder_place
from icefall_discrete.base.flags import ScriptParser, add_flags, override
from icefall_discrete.base.text_files import NotUtf8, read_text, shown_name
from icefall_discrete.data.cuts import language_of, load_audio_cuts, text_if_any
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice
from icefall_discrete.experiment.transcription_files import load_recipe, settings_in
from icefall_discrete.inference.alignment_files import (
    AlignedUtterance,
    ctm_lines,
    require_own_files,
    write_alignments,
    write_text_grid,
)
from icefall_discrete.inference.audio_files import FOLDER, AudioConfig, BadAudio
from icefall_discrete.inference.chosen_model import add_model_flags, chosen_exp_dir
from icefall_discrete.inference.samples import Samples
from icefall_discrete.inference.transcriber import Transcriber
from icefall_discrete.systems.asr.alignment import HEADS, CannotAlign, align_text, labels_of
from icefall_discrete.systems.prediction import RunConfig
from icefall_discrete.text.spoken_words import spoken_words
from icefall_discrete.text.words import plain_spaces
from icefall_discrete.tokenizers.contract import AudioRejected

LOG = logging.getLogger(__name__)
_BESIDE = (".txt", ".lab")


class Said(NamedTuple):
    """An utterance: its name, its audio (a file, or a cut), its text, and its language if that is known.

    lacking: a sentence that says why it has no text that can be read; empty: it has one.
    """

    name: str
    audio: Union[Path, Cut]
    text: str
    language: str
    lacking: str = ""


def get_parser(prog: str) -> ScriptParser:
    """The flags of `align`; `prog` is what --help calls the command."""
    parser = ScriptParser(__doc__, prog)
    parser.add_argument(
        "audio", nargs="*", metavar="FILE", help="audio files with their texts in .txt or .lab beside them"
    )
    add_model_flags(parser)
    parser.add_argument("--text", help="the text of a single audio file")
    parser.add_argument("--cuts", type=Path, help="manifest of cuts with texts (.jsonl.gz), instead of files")
    parser.add_argument("--to", type=Path, help="folder for CTM, TextGrid and supervisions (default: print CTM)")
    parser.add_argument("--head", choices=HEADS, default="auto", help="what aligns; auto: CTC if the model has it")
    parser.add_argument("--text-language", default="", help="language of the texts of audio files (default: not known)")
    parser.add_argument(
        "--text-rule", choices=("written", "words"), default="written", help="words: lower case without punctuation"
    )
    parser.add_argument(
        "--tokenizer-dir", type=Path, help="folder with the fitted tokenizer (default: <exp-dir>/tokenizer)"
    )
    add_flags(parser, AudioConfig)
    add_flags(parser, CheckpointChoice, "average")
    add_flags(parser, RunConfig)
    return parser


def _with_text_beside(path: Path, language: str) -> Said:
    """The utterance of an audio file whose text lies beside it, or with a sentence about what does not."""
    files = [path.with_suffix(suffix) for suffix in _BESIDE]
    found = next((file for file in files if file.is_file()), None)
    shown = shown_name(str(path))
    if not path.is_file():
        lacking = f"{shown}: {FOLDER if path.is_dir() else 'the file does not exist'}."
        return Said(path.stem, path, "", language, lacking)
    if found is None:
        lacking = f"{shown} has no text: neither {files[0].suffix} nor {files[1].suffix} of its name is beside it."
        return Said(path.stem, path, "", language, lacking)
    try:
        return Said(path.stem, path, plain_spaces(read_text(found)), language)
    except (NotUtf8, OSError) as error:
        return Said(path.stem, path, "", language, str(error))


def utterances_of(args: Any) -> List[Said]:
    """The utterances asked for. Raises ValueError if there are none, or several for one text."""
    if bool(args.audio) == (args.cuts is not None):
        raise ValueError("give either audio files or --cuts, a manifest; one of them is needed.")
    if args.text is not None and len(args.audio) != 1:
        raise ValueError(f"--text is the text of one audio file, but there are {len(args.audio)}.")
    if args.cuts is not None:
        return [Said(cut.id, cut, text_if_any(cut), language_of(cut) or "") for cut in load_audio_cuts(args.cuts)]
    paths = [Path(name) for name in args.audio]
    if args.text is not None:
        return [Said(paths[0].stem, paths[0], args.text, args.text_language)]
    return [_with_text_beside(path, args.text_language) for path in paths]


class Aligner:
    """Aligns utterances with their texts by a trained experiment.

    Args:
      transcriber: the experiment. head: one of HEADS. is_spoken: whether texts are brought to spoken words first.
    """

    def __init__(self, transcriber: Transcriber, head: str = "auto", is_spoken: bool = False) -> None:
        self._transcriber, self._head, self._is_spoken = transcriber, head, is_spoken

    def align(self, said: Said) -> AlignedUtterance:
        """The alignment of one utterance.

        Raises:
          BadAudio, AudioRejected, UnreadableAudio: for audio that cannot be read. CannotAlign: for its text.
        """
        text = spoken_words(said.text, said.language) if self._is_spoken else plain_spaces(said.text)
        encoder = self._transcriber.text_encoder
        labels = labels_of(text, said.language, encoder)
        encoded = self._transcriber.encoded(self._audio(said))
        model = self._transcriber.model
        found = align_text(model, encoded.encoder_out, encoded.spans_sec, labels, encoder, self._head)
        name, channel, start = said.name, 0, 0.0
        if not isinstance(said.audio, Path):
            name, channel, start = said.audio.recording.id, said.audio.channel, said.audio.start
        return AlignedUtterance(said.name, name, channel, start, encoded.duration_sec, text, found)

    def _audio(self, said: Said) -> Union[str, Samples]:
        rate = self._transcriber.spec.sample_rate_hz
        return (
            str(said.audio) if isinstance(said.audio, Path) else Samples(said.name, load_finite(said.audio, rate), rate)
        )


def _aligned(aligner: Aligner, utterances: Sequence[Said]) -> Iterator[Optional[AlignedUtterance]]:
    """The alignment of each utterance; None, after a sentence, for one that has none."""
    for said in utterances:
        if said.lacking:
            LOG.error(said.lacking)
            yield None
            continue
        try:
            yield aligner.align(said)
        except (BadAudio, AudioRejected, UnreadableAudio) as error:
            LOG.error(str(error))
            yield None
        except CannotAlign as error:
            LOG.error(f"{shown_name(said.name)} cannot be aligned: {error}.")
            yield None


def main(prog: str, arguments: Sequence[str]) -> None:
    """Align, print or write, and end with status 1 if an utterance could not be aligned."""
    args = get_parser(prog).parse_args(arguments)
    utterances = utterances_of(args)
    if args.to is not None:
        require_folder_place(args.to, "--to")
        require_own_files(args.to, (said.name for said in utterances))
    args.exp_dir = chosen_exp_dir(args)
    choice, _ = settings_in(load_recipe(args.exp_dir, None), f"the recipe of {args.exp_dir}")
    transcriber = Transcriber(
        args.exp_dir,
        override(choice, args, "average"),
        run=override(RunConfig(), args),
        audio=override(AudioConfig(), args),
        tokenizer_dir=args.tokenizer_dir,
    )
    found = []
    for one in _aligned(Aligner(transcriber, args.head, args.text_rule == "words"), utterances):
        if one is None:
            continue
        found.append(one)
        if args.to is not None:
            write_text_grid(args.to, one)
        else:
            print("\n".join(ctm_lines(one)), flush=True)
    if args.to is not None and found:
        write_alignments(args.to, found)
        LOG.info(f"{len(found)} of {len(utterances)} utterances: {args.to / 'words.ctm'}")
    if len(found) < len(utterances):
        LOG.error(f"{len(utterances) - len(found)} of {len(utterances)} utterances could not be aligned.")
        sys.exit(1)
