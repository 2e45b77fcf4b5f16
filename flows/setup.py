"""`make setup` after the installation: the embedded pictures and the databases. Doing it again changes nothing."""

import sys

from restore_ml import cli
from restore_ml.base import layout
from restore_ml.base.errors import report


def main() -> int:
    """Lay out the pictures, checked against data.dvc, say what params.yaml asks for and cannot be had, and migrate
    MLflow's tables before anything is parallel."""
    status = cli.main(["data", "init"])
    if status:
        return status
    try:
        from restore_ml.runs import fingerprints, settings

        if fault := fingerprints.without_weights(settings.load()):
            print(fault, file=sys.stderr)
        from restore_ml.tracking import store

        store.migrate(layout.root().resolve())
    except (Exception, KeyboardInterrupt) as error:
        return report(error, "make setup")
    return 0


if __name__ == "__main__":
    sys.exit(main())
