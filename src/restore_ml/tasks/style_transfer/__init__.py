"""The task style_transfer, one file a part (see `restore_ml.tasks.base`)."""

RANK = 16
"""Tasks are shown in this order."""
