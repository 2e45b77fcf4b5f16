"""The task video_super_resolution, one file a part (see `restore_ml.tasks.base`)."""

RANK = 7
"""Tasks are shown in this order."""
