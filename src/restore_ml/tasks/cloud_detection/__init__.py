"""The task cloud_detection, one file a part (see `restore_ml.tasks.base`)."""

RANK = 4.5
"""Tasks are shown in this order."""
