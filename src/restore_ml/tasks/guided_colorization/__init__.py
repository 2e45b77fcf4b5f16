"""The task guided_colorization, one file a part (see `restore_ml.tasks.base`)."""

RANK = 3.5
"""Tasks are shown in this order."""
