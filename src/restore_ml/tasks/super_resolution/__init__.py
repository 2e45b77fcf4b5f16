"""The task super_resolution, one file a part (see `restore_ml.tasks.base`)."""

RANK = 1
"""Tasks are shown in this order."""
