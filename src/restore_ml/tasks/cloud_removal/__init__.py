"""The task cloud_removal, one file a part (see `restore_ml.tasks.base`)."""

RANK = 4
"""Tasks are shown in this order."""
