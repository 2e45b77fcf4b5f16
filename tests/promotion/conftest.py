"""The small project of the tests of MLflow, whose champions are moved here."""

from tests.tracking.conftest import _built, _migrated, project

__all__ = ["_built", "_migrated", "project"]
