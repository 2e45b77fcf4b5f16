"""Models whose weights somebody else trained: a run with `weights: FILE` in its entry."""
