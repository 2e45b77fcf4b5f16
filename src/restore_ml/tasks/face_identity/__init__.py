"""The task face_identity, one file a part (see `restore_ml.tasks.base`)."""
