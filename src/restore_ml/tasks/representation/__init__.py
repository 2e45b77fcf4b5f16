"""The task representation, one file a part (see `restore_ml.tasks.base`)."""
