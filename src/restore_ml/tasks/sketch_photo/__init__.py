"""The task sketch_photo, one file a part (see `restore_ml.tasks.base`)."""

RANK = 10
"""Tasks are shown in this order."""
