"""The task classification, one file a part (see `restore_ml.tasks.base`)."""

RANK = 14
"""Tasks are shown in this order."""
