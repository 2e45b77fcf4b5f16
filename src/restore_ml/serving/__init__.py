"""Restored pictures for others: over HTTP, a folder at a time, and as ONNX."""
