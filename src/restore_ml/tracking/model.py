"""The model that MLflow stores and serves: code (this file and the package beside it) over safetensors, no pickle.

MLflow runs this file when it saves and when it loads a model ("models from code"), so it imports MLflow at its top and
nothing of ours imports it. `mlflow.pyfunc.load_model("models:/restore-colorization@champion").predict(frame)` takes a
table with a column for each file that the task takes (`image`; `mask`; `clip` ...: base64, JSON as it is) and gives one
with a column for each result. Parameters: `scale`, `seed` and the task's options. docs/serving.md has the table.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Restorer(PythonModel):
    """Files in, files out."""

    def load_context(self, context: Any) -> None:
        """Build the method from its settings and fill it from safetensors; the artifact `project` holds models/."""
        from restore_ml.base import layout
        from restore_ml.base.files import read_json
        from restore_ml.restoring.arithmetic import choose
        from restore_ml.restoring.loading import load_model

        project = Path(context.artifacts["project"])
        named = read_json(project / "run.json")
        self.run = named["run"]
        self.method, self.model = load_model(project / layout.model(named["task"], self.run), project)
        self.model.precision = choose(self.method, self.model)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Restore each row on its own; a row that cannot be restored refuses the request with a sentence."""
        from restore_ml.base.errors import UserError
        from restore_ml.serving.photos import of_task
        from restore_ml.serving.restore_command import from_text, restore_row
        from restore_ml.tasks.photos import Asked

        params, photos = params or {}, of_task(self.method.task)
        known = photos.names()
        options = {option.name: params[option.name] for option in photos.options if option.name in params}
        asked = Asked(params.get("scale") or None, params.get("seed") or 1, options)
        rows = []
        for row in model_input.to_dict("records"):
            try:
                files = {name: from_text(text, name, entry.kind) for name, entry in known.items()
                         if isinstance(text := row.get(name), str) and text}
                rows.append(restore_row(self.method, self.model, files, asked))
            except UserError as error:
                raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
        return pd.DataFrame(rows)


set_model(Restorer())
