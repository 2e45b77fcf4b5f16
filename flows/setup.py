"""`make setup` after the installation: the embedded pictures and the databases. Doing it again changes nothing."""

import sys

from restore_ml import cli, layout
from restore_ml.errors import UserError


def main() -> int:
    """Lay out the pictures, checked against data.dvc, and migrate MLflow's tables before anything is parallel."""
    from restore_ml.tracking import store

    status = cli.main(["data", "init"])
    if status:
        return status
    try:
        store.migrate(layout.root().resolve())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
