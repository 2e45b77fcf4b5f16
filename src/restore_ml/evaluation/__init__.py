"""Metrics, per-picture scoring and the statistics of a comparison."""
