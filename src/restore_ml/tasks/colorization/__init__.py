"""The task colorization, one file a part (see `restore_ml.tasks.base`)."""

RANK = 3
"""Tasks are shown in this order."""
