"""The task inpainting, one file a part (see `restore_ml.tasks.base`)."""

RANK = 2
"""Tasks are shown in this order."""
