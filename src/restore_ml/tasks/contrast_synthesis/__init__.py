"""The task contrast_synthesis, one file a part (see `restore_ml.tasks.base`)."""

RANK = 12
"""Tasks are shown in this order."""
