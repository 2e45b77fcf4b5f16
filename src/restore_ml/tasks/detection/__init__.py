"""The task detection, one file a part (see `restore_ml.tasks.base`)."""

RANK = 15
"""Tasks are shown in this order."""
