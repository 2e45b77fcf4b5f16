"""restore-ml: compare, rebuild and ship image-restoration models."""

__version__ = "0.1.0"
