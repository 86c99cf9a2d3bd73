#!/usr/bin/env python3
"""Look into a batch that training left out or stopped at: run it again with the weights and the noise it met."""

import logging
from pathlib import Path

import torch

from icefall_discrete.base import backend
from icefall_discrete.base.device import DEVICES, resolve
from icefall_discrete.base.flags import ScriptParser
from icefall_discrete.base.script import run_script
from icefall_discrete.experiment.replay import replay
from icefall_discrete.training.train_config import PRECISIONS

LOG = logging.getLogger("replay_batch")


def get_parser() -> ScriptParser:
    """The stage's flags."""
    parser = ScriptParser(__doc__)
    parser.add_argument(
        "--exp-dir",
        type=Path,
        required=True,
        help="experiment folder, or that of another training (system.json says of which system)",
    )
    parser.add_argument(
        "--batch", required=True, help="file below the folder, as bad-batches.jsonl names it, or a path"
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="another number format than the run's")
    parser.add_argument("--device", default="auto", choices=DEVICES, help="default: auto")
    parser.add_argument("--backend", default="auto", choices=backend.BACKENDS, help="pruned RNN-T (default: auto)")
    return parser


def main() -> None:
    """Replay the batch and say what is not finite, and where that begins."""
    args = get_parser().parse_args()
    path = args.exp_dir / args.batch if (args.exp_dir / args.batch).is_file() else Path(args.batch)
    torch.set_flush_denormal(True)
    device = resolve(args.device, "the batch")
    found = replay(args.exp_dir, path, backend.resolve(args.backend), device, args.precision)
    LOG.info(f"{path}: {found.place}; saved because {found.reason}")
    parts = ", ".join(f"{name} {value:.6g}" for name, value in found.parts.items())
    LOG.info(f"loss {found.loss:.6g} nats ({parts}); norm of the gradients {found.gradient_norm:.6g}")
    if found.bad_cuts:
        LOG.info(f"losses that are not finite: {', '.join(found.bad_cuts)}")
    if found.first_bad_module is not None:
        LOG.info(f"first output that is not finite: {found.first_bad_module}")
    if found.bad_gradients:
        shown = ", ".join(found.bad_gradients[:10])
        LOG.info(f"{len(found.bad_gradients)} gradients that are not finite: {shown}")
    LOG.info("everything is finite" if found.is_finite else "not finite")


if __name__ == "__main__":
    run_script(main)
