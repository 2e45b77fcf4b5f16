"""restore-ml: compare, rebuild and ship image-restoration models.

`restore_ml.compare(my_function, task="inpainting")` puts a function of yours into a task's table
(`restore_ml.own.function.compare`); it is imported when it is asked for, and nothing else comes with the package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore_ml.own.function import compare as compare

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "compare":
        from restore_ml.own.function import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
