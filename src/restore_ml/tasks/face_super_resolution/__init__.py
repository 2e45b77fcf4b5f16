"""The task face_super_resolution, one file a part (see `restore_ml.tasks.base`)."""

RANK = 9
"""Tasks are shown in this order."""
