"""From a model and degraded inputs to restored pictures: the harness around every method, and its stage."""
