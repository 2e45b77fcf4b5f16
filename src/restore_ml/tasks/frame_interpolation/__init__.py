"""The task frame_interpolation, one file a part (see `restore_ml.tasks.base`)."""

RANK = 8
"""Tasks are shown in this order."""
