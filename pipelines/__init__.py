"""What a rebuild does: one module a stage of dvc.yaml and graph/task.yaml, run by `python -m pipelines STAGE [KEY]`."""
