"""spec.json beside the codes: the promise of all splits, and what going together changed in each."""

import dataclasses
from pathlib import Path

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.extraction.encoding import Flips

FILE_NAME = "spec.json"


def settle_spec(out_dir: Path, spec: FeatureSpec) -> None:
    """Write spec.json, or check that the one on disk is the same promise.

    Raises ValueError with every difference if the folder holds codes of other settings or another k-means.
    """
    path = out_dir / FILE_NAME
    if not path.exists():
        spec.write(path)
        return
    found = FeatureSpec.read(path).differences(spec)
    if found:
        listed = "; ".join(f"{key}: {old!r} on disk, {new!r} now" for key, (old, new) in found.items())
        raise ValueError(
            f"{out_dir} holds codes of another '{spec.name}' ({listed}); move the folder {out_dir} aside and rerun "
            "from the stage that fits the tokenizer, or give the new settings a name of their own."
        )


def note_flips(out_dir: Path, name: str, flips: Flips) -> None:
    """Write beside the versions in spec.json, which are not compared, how many codes of a split or shard differ."""
    spec = FeatureSpec.read(out_dir / FILE_NAME)
    noted = {f"{name}, codes unlike those alone": f"{flips.flipped} of {flips.checked}"}
    dataclasses.replace(spec, made_with={**spec.made_with, **noted}).write(out_dir / FILE_NAME)
