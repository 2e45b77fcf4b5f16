"""The task segmentation, one file a part (see `restore_ml.tasks.base`)."""

RANK = 13
"""Tasks are shown in this order."""
