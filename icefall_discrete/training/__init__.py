"""Training: optimiser, schedule, trainer, checkpoints."""
