"""Who speaks, and how alike two voices are: trained classifiers of ours as functions of audio."""

import functools
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.experiment.checkpoint_choice import CheckpointChoice, load_into, resolve_choice
from icefall_discrete.experiment.folder import Experiment
from icefall_discrete.experiment.transcription_files import kept_settings, load_experiment_tokenizer
from icefall_discrete.extraction.audio_figures import AudioSource
from icefall_discrete.extraction.workers import one_thread
from icefall_discrete.inference.audio_files import BadAudio
from icefall_discrete.systems.classification.network import Classifier
from icefall_discrete.systems.prediction import RunConfig

Figures = Dict[str, Optional[float]]
VOICE = "speaker"


class VoiceJudge:
    """Hears voices with a trained classifier, such as one of a recipe SID or SV.

    Args:
      exp_dir: folder of the trained experiment. choice: checkpoints; None: those of its recipe. run: device.
    Raises:
      FileNotFoundError: if a file of the experiment or its tokenizer is missing. ValueError: if it is no classifier.
    """

    def __init__(
        self,
        exp_dir: Union[str, Path],
        choice: Optional[CheckpointChoice] = None,
        run: Optional[RunConfig] = None,
    ) -> None:
        experiment = Experiment(Path(exp_dir))
        self.spec = experiment.spec()
        network = experiment.build_model()
        if not isinstance(network, Classifier):
            raise ValueError(f"{exp_dir} holds a {type(network).__name__}, which tells no classes; give a classifier.")
        self._tokenizer = load_experiment_tokenizer(experiment.exp_dir, self.spec)
        load_into(network, resolve_choice(choice or kept_settings(exp_dir)[0], exp_dir), exp_dir)
        self._device = (run or RunConfig()).torch_device()
        self._network = network.to(self._device).eval()
        self.classes = experiment.stages().load_targets(experiment.exp_dir)

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the audio that it hears."""
        return self.spec.sample_rate_hz

    @torch.no_grad()
    def _frames(self, samples: Tensor, name: str) -> Tuple[Tensor, Tensor]:
        if samples.numel() < self._tokenizer.min_samples or not bool(samples.isfinite().all()):
            raise BadAudio(f"{name}: {samples.numel()} samples are too short for a frame of {self.spec.name}, or NaN.")
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            frames, lens = self._tokenizer.encode(samples[None], torch.tensor([samples.numel()]), [name])
        if self._network.config.num_encoder_frames(int(lens[0]), self.spec) < 1:
            raise BadAudio(f"{name}: {samples.numel()} samples are too short for the classifier, which gets no frame.")
        return frames.to(self._device), lens.to(self._device)

    @torch.no_grad()
    def embedding(self, samples: Tensor, name: str = "audio") -> Tensor:
        """The embedding (E,) of samples (S,) float32 at `sample_rate_hz`.

        Raises BadAudio, naming `name`, for what is too short or not finite.
        """
        return self._network.embed(*self._frames(samples, name))[0].float().cpu()

    @torch.no_grad()
    def answer(self, samples: Tensor, name: str = "audio") -> str:
        """The most probable class of samples (S,); raises as `embedding`."""
        return self.classes.names[int(self._network.classify(*self._frames(samples, name))[0].argmax())]

    def similarity(self, one: Tensor, other: Tensor, name: str = "audio") -> float:
        """Cosine between the embeddings of samples (S,) and (S',); raises as `embedding`."""
        return float(F.cosine_similarity(self.embedding(one, name), self.embedding(other, name), dim=0))


class VoiceJudges(NamedTuple):
    """What measures voices of pairs: similarity by `verifier`, accuracy by `classifier`; each may be missing.

    asked: the class that is to be heard in every estimate; "": that of the reference.
    """

    verifier: Optional[VoiceJudge] = None
    classifier: Optional[VoiceJudge] = None
    asked: str = ""

    def class_to_hear(self, own: Optional[str], heard: Callable[[], str]) -> str:
        """The class that counts as right: the one asked for, else the reference's own, else what is heard in it."""
        return self.asked or own or heard()

    def figures(self, name: str, reference: AudioSource, estimate: AudioSource) -> Figures:
        """Figures of one utterance by the names of metrics/reconstruction.py, of the class that counts as right."""
        found: Figures = {}
        if self.verifier is not None:
            pair = [one.samples(name, self.verifier.sample_rate_hz).float() for one in (reference, estimate)]
            found["speaker_similarity"] = self.verifier.similarity(pair[0], pair[1], name)
        if self.classifier is not None:
            heard_in = functools.partial(_answer, self.classifier, name)
            own = reference.fact(name, self.classifier.classes.fact)
            wanted = self.class_to_hear(own, lambda: heard_in(reference))
            found["speaker_accuracy"] = 100.0 * (heard_in(estimate) == wanted)
        return found


def _answer(judge: VoiceJudge, name: str, source: AudioSource) -> str:
    return judge.answer(source.samples(name, judge.sample_rate_hz).float(), name)


def add_judge_flags(parser: ScriptParser, otherwise: str) -> None:
    """The flags of `load_voice_judges`; `otherwise`: what the help of --asked says of its default."""
    parser.add_argument(
        "--verifier-exp-dir", type=Path, help="trained verification (SV): how alike the voices are (default: none)"
    )
    parser.add_argument(
        "--classifier-exp-dir",
        type=Path,
        help="trained classifier (SID, LID ...): how often it hears the class that is to be heard (default: none)",
    )
    parser.add_argument(
        "--asked", default="", help=f"of --classifier-exp-dir: the class that is to be heard ({otherwise})"
    )


def load_voice_judges(verifier: Optional[Path], classifier: Optional[Path], asked: str = "") -> VoiceJudges:
    """Judges of experiment folders, each of which may be None.

    Raises:
      ValueError: if `asked` is no class of the classifier, or there is none, or the verifier does not know voices.
    """
    judges = [None if path is None else VoiceJudge(path) for path in (verifier, classifier)]
    if judges[0] is not None and judges[0].classes.fact != VOICE:
        raise ValueError(
            f"--verifier-exp-dir {verifier} was trained to tell the {judges[0].classes.fact} of utterances, so that it "
            f"knows little of voices; give one that was trained on the {VOICE}."
        )
    if asked and (judges[1] is None or asked not in judges[1].classes.names):
        known = "there is no classifier" if judges[1] is None else f"known: {', '.join(judges[1].classes.names)}"
        raise ValueError(f"no classifier hears '{asked}' ({known}); give one of its classes, or leave that out.")
    return VoiceJudges(judges[0], judges[1], asked)
