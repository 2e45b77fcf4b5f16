"""`make setup` after the installation: the embedded pictures and the databases. Doing it again changes nothing."""

import sys

from pipelines.machinery import server
from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.errors import report


def main() -> int:
    """Lay out the pictures, checked against data.dvc, say what params.yaml asks for and cannot be had, and migrate
    MLflow's tables before anything is parallel. Prefect's are made meanwhile."""
    try:
        tables = server.make_tables(layout.root().resolve())
        status = cli.main(["data", "init"])
        if status:
            return status
        from restore_ml.runs import fingerprints, settings

        if fault := fingerprints.without_weights(settings.load()):
            print(fault, file=sys.stderr)
        from restore_ml.tracking import store

        store.migrate(layout.root().resolve())
        if tables is not None:
            tables.wait()
    except (Exception, KeyboardInterrupt) as error:
        return report(error, "make setup")
    return 0


if __name__ == "__main__":
    sys.exit(main())
