"""The stages of each task, a file a task: `SCRIPTS` and `plan(asked)`; see experiment/plan.py."""
