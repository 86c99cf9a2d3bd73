"""What tests of recipes share: the stage of a recipe's own, and a copy of its stand-in."""

import shutil

import pytest
from recipe_checks import load_local


@pytest.fixture(scope="module")
def prepare(request):
    """local/prepare.py of the recipe that the test file names as RECIPE."""
    return load_local(request.module.RECIPE, "prepare")


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the corpus for a test to change."""
    return shutil.copytree(whole, tmp_path / "corpus")
