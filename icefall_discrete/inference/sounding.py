"""Codes that a system has found, such as those of clean speech, to audio: by their tokenizer or by a vocoder."""

from pathlib import Path
from typing import Iterator, List, Optional

import torch
from lhotse.cut import Cut
from torch import Tensor

from icefall_discrete.audio.writing import write_flac
from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.data.cuts import load_cuts, load_frames
from icefall_discrete.experiment.transcription_files import load_experiment_tokenizer
from icefall_discrete.inference.speaker import Speaker
from icefall_discrete.systems.code_files import CodeFiles
from icefall_discrete.systems.enhancement.system import in_order
from icefall_discrete.systems.vocoder.files import NOBODY, Said, audio_name, require_there
from icefall_discrete.systems.vocoder.prediction import fitted, samples_of


class Sounder:
    """Makes audio of codes of the spec of an experiment.

    Args:
      exp_dir: the experiment, whose tokenizer decodes. vocoder_dir: a vocoder of the same codes, to do so instead.
    Raises:
      ValueError: if the vocoder is one of other codes.
    """

    def __init__(self, exp_dir: Path, spec: FeatureSpec, vocoder_dir: Optional[Path] = None) -> None:
        self.spec = spec
        self._speaker = None if vocoder_dir is None else Speaker(vocoder_dir)
        self._tokenizer = load_experiment_tokenizer(exp_dir, spec) if vocoder_dir is None else None
        if self._speaker is not None:
            spec.require_same(self._speaker.spec, str(exp_dir), f"the vocoder in {vocoder_dir}")

    @torch.no_grad()
    def audio(self, codes: Tensor, cut: Cut) -> Tensor:
        """Samples (S,), as many as the cut has, of codes (T, K); a vocoder says them in the cut's voice if it knows it.

        Raises:
          ValueError: if the tokenizer does not decode to audio.
        """
        if self._speaker is not None:
            number = self._speaker.voices.of(cut)
            voice = self._speaker.voices.names[number - 1] if number else ""
            return fitted(self._speaker.say(codes, voice, f"cut {cut.id}"), samples_of(cut, self.spec))
        assert self._tokenizer is not None, "one of the two is there"
        advice = "train a vocoder of these codes (recipes TTS) and give it with --vocoder-exp-dir"
        try:
            decoded = self._tokenizer.decode(codes[None], torch.tensor([len(codes)]))
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}; {advice}.") from None
        if decoded.dim() != 2:
            raise ValueError(f"'{self.spec.name}' is decoded to features, not to audio; {advice}.")
        return fitted(decoded[0], samples_of(cut, self.spec))


def sound_split(files: CodeFiles, split: str, feature_dir: Path, sounder: Sounder) -> Iterator[Said]:
    """Write a FLAC file for whatever was found of each cut of a split; yields the lines about them.

    Outputs that have no order of their own are put in that of the sources which they have most codes in common with.
    """
    spec = sounder.spec
    found = {cut.id: cut for cut in load_cuts(files.said(split))}
    true, folder = files.recordings(feature_dir, split), files.audio(split)
    require_there(found, true, files.said(split), feature_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for number, mixture in enumerate(load_cuts(Path(feature_dir) / f"{split}.jsonl.gz")):
        names = files.names_of(mixture.id)
        if names[0] not in found:  # too short for the network
            continue
        outputs, sought = (_codes(cuts, names, spec) for cuts in (found, true))
        outputs = in_order(outputs, sought) if len(names) > 1 else outputs
        for name, codes in zip(names, outputs.unbind(dim=1)):
            path = folder / audio_name(name, number)
            write_flac(path, sounder.audio(codes, true[name]).numpy(), spec.sample_rate_hz)
            yield Said(name, f"{folder.name}/{path.name}", NOBODY)


def _codes(cuts: dict, names: List[str], spec: FeatureSpec) -> Tensor:
    return torch.stack([torch.from_numpy(load_frames(cuts[name], spec)).long() for name in names], dim=1)
