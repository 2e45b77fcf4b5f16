"""Where people look, apart from `layout`: no training imports it, so that changing it trains nothing anew."""

UI = "http://127.0.0.1:5080"
"""Where `make ui` answers: /gallery/ are the pages of the gallery, /mlflow/<task> leads to the task's runs."""

SERVE = "http://127.0.0.1:5005"
"""Where `restore-ml serve` answers unless it is told another port; /hints.html is a page for a person there."""
