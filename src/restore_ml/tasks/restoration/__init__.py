"""The task restoration, one file a part (see `restore_ml.tasks.base`)."""

RANK = 2.5
"""Tasks are shown in this order."""
