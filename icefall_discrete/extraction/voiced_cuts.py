"""Cuts without their silence, on disk: a FLAC file each and a manifest, under the ids that the cuts had.

They are stored for the reasons that noisy ones are (noisy_cuts.py). What is there already and as long as it should be
is left as it is, so that an interrupted run goes on.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import torch
from lhotse import AudioSource, MonoCut, Recording
from lhotse.utils import fastcopy
from tqdm import tqdm

from icefall_discrete.audio.reading import load_finite
from icefall_discrete.audio.voice_activity import VoiceActivityConfig, speech_parts
from icefall_discrete.audio.writing import holds_samples, write_flac
from icefall_discrete.base.inside import path_inside
from icefall_discrete.base.json_files import write_json
from icefall_discrete.base.provenance import Provenance
from icefall_discrete.base.settings import to_dict
from icefall_discrete.data.cuts import cuts_digest, without_frames, write_cuts

LOG = logging.getLogger(__name__)
_RECORD = "voiced.json"


def write_voiced(
    cuts: Sequence[MonoCut], config: VoiceActivityConfig, manifest: Path, audio_dir: Path
) -> Dict[str, Any]:
    """Write the audio of cuts without silence to `audio_dir` and their manifest; returns figures.

    A cut that is silent throughout is left out, and counted.

    Raises:
      ValueError: if `audio_dir` was begun with other cuts or settings, or all are silent.
    """
    audio_dir = Path(audio_dir).resolve()
    origin = Provenance({"cuts": cuts_digest(cuts)}, to_dict(config))
    begun = Provenance.read_if_there(audio_dir / _RECORD)
    if begun is not None and any(audio_dir.rglob("*.flac")):  # before that nothing is lost
        origin.require_same(begun, f"{audio_dir} holds audio made", "choose another --audio-dir, or move it aside")
    audio_dir.mkdir(parents=True, exist_ok=True)
    origin.write(audio_dir / _RECORD)
    silent: List[str] = []
    voiced = list(_voiced(cuts, config, audio_dir, silent))
    if not voiced:
        raise ValueError(f"{manifest}: all {len(cuts)} cuts are silent; is it the right audio?")
    write_cuts(manifest, voiced)
    before, after = (sum(cut.duration for cut in some) for some in (cuts, voiced))
    figures = {"num_cuts": len(voiced), "silent": silent, "before_sec": round(before, 3), "after_sec": round(after, 3)}
    write_json(audio_dir / "figures.json", figures)
    LOG.info(
        f"{manifest}: {len(voiced)} of {len(cuts)} cuts, {after:.0f} of {before:.0f} s; {len(silent)} are silent "
        f"throughout{' (such as ' + silent[0] + ')' if silent else ''}"
    )
    return figures


def _voiced(cuts: Sequence[MonoCut], config: VoiceActivityConfig, folder: Path, silent: List[str]) -> Iterator[MonoCut]:
    for cut in tqdm(cuts, desc="cutting silence", unit="cut"):
        samples = load_finite(cut, cut.sampling_rate)
        parts = speech_parts(samples, cut.sampling_rate, config)
        if not parts:
            silent.append(cut.id)
            continue
        kept = torch.cat([samples[start:end] for start, end in parts])
        path = path_inside(folder, cut.id, "the id of a cut", ".flac")
        if not holds_samples(path, len(kept)):
            write_flac(path, kept.numpy(), cut.sampling_rate)
        duration = len(kept) / cut.sampling_rate
        source = [AudioSource(type="file", channels=[0], source=str(path))]
        recording = Recording(cut.id, source, cut.sampling_rate, len(kept), duration)
        said = [
            fastcopy(one, recording_id=cut.id, channel=0, start=0.0, duration=duration, alignment=None)
            for one in cut.supervisions
        ]
        custom = {**(without_frames(cut).custom or {}), "silence_sec": round(cut.duration - duration, 4)}
        yield dataclasses.replace(
            without_frames(cut),
            start=0.0,
            duration=duration,
            channel=0,
            recording=recording,
            supervisions=said,
            custom=custom,
        )
