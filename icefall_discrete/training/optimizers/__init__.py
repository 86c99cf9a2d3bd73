"""Optimisers with their learning rate schedules, a file each, to choose from by `train.optimizer`."""
