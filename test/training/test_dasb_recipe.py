"""DASB's recipe for recognisers, in miniature: its losses, its batches, its optimiser, with a head of a few cells."""

from pathlib import Path

import pytest
from synthetic_codes import make_trainer

from icefall_discrete.experiment.recipe_files import read_recipe

RECIPE = Path(__file__).resolve().parents[2] / "egs" / "librispeech" / "ASR" / "conf" / "recipes" / "dasb.json"
HEADS = {
    "bilstm": {"hidden_dim": 12},
    "contextnet": {"block_channels": [16, 16], "num_convolutions": 2, "squeezed_dim": 4, "out_dim": 16},
    "mlp": {"hidden_dim": 24},
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_learns_by_the_settings_of_the_recipe(kind, corpus_dir, tmp_path):
    recipe = read_recipe(RECIPE)
    optimizer = {**recipe["train"]["optimizer"], "peak_lr": 0.01, "improvement_threshold": 0.9}
    trainer, data = make_trainer(
        corpus_dir,
        tmp_path,
        model__encoder={"kind": kind, "in_dim": 16, **HEADS[kind]},
        model__front_end="identity",
        model__codebook_combination="attention",
        model__inner_ctc_stacks=[],
        loss__inner_ctc_loss_scale=0.0,
        train__optimizer=optimizer,
        train__num_epochs=3,
        **{f"loss__{name}": value for name, value in recipe["loss"].items()},
        **{f"loader__{name}": value for name, value in recipe["loader"].items()},
        **{f"augment__{name}": value for name, value in recipe["augment"].items()},
    )
    batches = list(data.train_batches(1, 0))
    assert {len(batch["cut_ids"]) for batch in batches[:-1]} == {4}
    lens = [int(batch["frame_lens"].max()) for batch in batches]
    assert lens == sorted(lens)
    epochs = trainer.fit(data)["epochs"]
    assert set(epochs[0]["train"]) == {"loss", "ctc"} and epochs[2]["train"]["ctc"] < epochs[0]["train"]["ctc"]
    rates = [record["lr"] for record in epochs]
    assert rates[:2] == [0.01, 0.01] and rates[2] == pytest.approx(0.008)
