"""The experiment folder, recipe files, and the choice of checkpoints."""
