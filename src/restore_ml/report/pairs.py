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
    height, frames, figures ...]. A key is `input`, `truth`, another name of the sample, or a run (`udc_gan (2)` is the
    second result that it drew). A case whose truth nobody knows has `metrics` of its own.
    """
    runs = shown["runs"]
    cases = []
    for case in shown["cases"]:
        pictures = []
        for picture in case["pictures"]:
            given = [_shot(shot["key"], shot) for shot in picture["given"] if "picture" in shot]
            tiles = [shot for tile in picture["tiles"] if "picture" in tile for shot in _shots(runs[tile["run"]], tile)]
            last = [shot for shot in given if shot[0] == TRUTH]
            pictures.append({"id": picture["id"], "name": picture["name"],
                             "size": [picture["width"], picture["height"]],
                             "shots": [shot for shot in given if shot[0] != TRUTH] + tiles + last})
        own = {"metrics": case["metrics"]} if "metrics" in case else {}
        cases.append({"name": case["name"], "pictures": pictures, **own})
    return {"task": shown["task"], "metrics": shown["metrics"], "cases": cases}


def _shot(key: str, shot: dict[str, Any]) -> list[Any]:
    return [key, shot["picture"].rstrip("+"), *shot["size"], shot.get("frames", 1), *shot.get("values", [])]


def _shots(run: str, tile: dict[str, Any]) -> list[list[Any]]:
    """A run's picture and, where it drew several, the next ones, without figures."""
    others = ({"picture": ref, "size": tile["size"]} for ref in tile.get("others", ()))
    return [_shot(run, tile), *(_shot(f"{run} ({place})", other) for place, other in enumerate(others, 2))]


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
