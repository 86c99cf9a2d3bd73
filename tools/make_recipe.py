#!/usr/bin/env python3
"""What tools/new_corpus.sh does within an environment: read an own corpus, say what is in it, make its recipe.

The recipe is egs/<name>/ASR, which must not be there yet. It is whole or absent.
"""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from icefall_discrete.base.flags import config_from_flags
from icefall_discrete.base.script import run_script
from icefall_discrete.base.settings import MOST_PROCESSES, setting
from icefall_discrete.data.own_corpora.preparation import SourceConfig
from icefall_discrete.experiment.own_recipe import DEFAULT_FEATURE_TYPE, NewRecipe, make_recipe

EGS = Path(__file__).resolve().parents[1] / "egs"


@dataclasses.dataclass(frozen=True)
class MakeConfig(SourceConfig):
    """The recipe, and the corpus that it is of."""

    name: str = setting("", "name of the corpus, small letters, digits and _; needed")
    feature_type: str = setting(DEFAULT_FEATURE_TYPE, "default of the recipe")
    egs_dir: str = setting(str(EGS), "folder of the recipes")
    audio_checked: int = setting(1000, "utterances that are decoded for the report; stage 1 takes more", minimum=0)
    nj: int = setting(2, "processes that read audio", minimum=1, maximum=MOST_PROCESSES)


def main() -> None:
    """Make one recipe."""
    config = config_from_flags(MakeConfig, __doc__)
    new = NewRecipe(config.name, Path(config.egs_dir), config.feature_type)
    print(make_recipe(new, config, config.nj, config.audio_checked))


if __name__ == "__main__":
    run_script(main)
