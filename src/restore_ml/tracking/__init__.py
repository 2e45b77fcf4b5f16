"""MLflow: runs, models and the registry, as a view of what DVC holds."""
