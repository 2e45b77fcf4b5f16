"""What the page "compare two" knows of a task: of every shown picture, where the pixels of each of its shots lie.

The page loads pixels when a pair is chosen; what stands in it is names, sizes and figures.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

TRUTH = "truth"


def pairs(shown: dict[str, Any]) -> dict[str, Any]:
    """The page's facts from what the script of the task's page has (`TaskView.gather`'s `browser`).

    `cases` with their `pictures`; of each its `id`, `name`, `size` and `shots`: [key, name of the file, width,
    height, frames, figures ...]. A key is `input`, `truth`, another name of the sample, or a run. A case whose truth
    nobody knows has `metrics` of its own.
    """
    runs = shown["runs"]
    cases = []
    for case in shown["cases"]:
        pictures = []
        for picture in case["pictures"]:
            given = [_shot(shot["key"], shot) for shot in picture["given"]]
            tiles = [_shot(runs[tile["run"]], tile) for tile in picture["tiles"] if "picture" in tile]
            last = [shot for shot in given if shot[0] == TRUTH]
            pictures.append({"id": picture["id"], "name": picture["name"],
                             "size": [picture["width"], picture["height"]],
                             "shots": [shot for shot in given if shot[0] != TRUTH] + tiles + last})
        own = {"metrics": case["metrics"]} if "metrics" in case else {}
        cases.append({"name": case["name"], "pictures": pictures, **own})
    return {"task": shown["task"], "metrics": shown["metrics"], "cases": cases}


def _shot(key: str, shot: dict[str, Any]) -> list[Any]:
    return [key, shot["picture"].rstrip("+"), *shot["size"], shot.get("frames", 1), *shot.get("values", [])]


def refs(facts: dict[str, Any]) -> set[str]:
    """The names of the files that the page may ask for."""
    return {shot[1] for case in facts["cases"] for picture in case["pictures"] for shot in picture["shots"]}


def first_pair(facts: dict[str, Any]) -> str:
    """The part of the address after # for the two best runs of the first case: `a=vdsr&b=bicubic`; with one run alone
    the truth (or what else there is) lies beside it, and an empty text where there is no picture."""
    for case in facts["cases"]:
        for picture in case["pictures"]:
            keys = [shot[0] for shot in picture["shots"]]
            measured = [shot[0] for shot in picture["shots"] if len(shot) > 5]
            chosen = [*measured[:2], *[key for key in reversed(keys) if key not in measured[:2]]][:2]
            return urlencode(dict(zip("ab", chosen, strict=False)) | {"case": case["name"]})
    return ""
