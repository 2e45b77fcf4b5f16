"""The model that MLflow stores and serves: code (this file and the package beside it) over safetensors, no pickle.

MLflow runs this file when it saves and when it loads a model ("models from code"), so it imports MLflow at its top and
nothing of ours imports it. `mlflow.pyfunc.load_model("models:/restore-colorization@champion").predict(frame)` takes a
table with a column `image` (base64 of a PNG, JPEG ... file) and, where the task has one, `mask` (base64, white = to be
filled); it gives a table with a column `image` (base64 of a PNG). Parameters: `scale`, `seed`.
"""

import base64
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Restorer(PythonModel):
    """Pictures in, pictures out."""

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
        from restore_ml.serving.restore_command import from_base64, restore_bytes

        params = params or {}
        pictures = []
        for row in model_input.to_dict("records"):
            try:
                text = row.get("mask")
                mask = from_base64(text, "mask") if isinstance(text, str) and text else None
                restored = restore_bytes(self.method, self.model, from_base64(row["image"], "image"), mask,
                                         params.get("scale") or None, params.get("seed") or 1)
            except UserError as error:
                raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None
            pictures.append(base64.b64encode(restored).decode())
        return pd.DataFrame({"image": pictures})


set_model(Restorer())
