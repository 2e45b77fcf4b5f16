"""Drawn faces in colour, with exact parsing maps, landmarks and attributes: several pictures of each person.

Geometry and colours after the procedural source of the cross-domain methods (an ellipse of a face in one of hair, eyes,
brows, a trapezoid of a nose, lips). Who is shown comes from one seed; light, pose, expression, background and noise
from another, so that a person's pictures differ as photographs do. Coordinates run from -1 to 1, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from restore_ml.data.domain import Maker
from restore_ml.data.domains.faces import ATTRIBUTES
from restore_ml.data.person_folders import write_annotations, write_picture
from restore_ml.seeds import generator

SIZE = 128
"""Height and width in pixels."""
TEST = tuple(f"d{number:03d}" for number in range(100, 112))
TRAIN = tuple(f"d{number:03d}" for number in range(36))
VALIDATION = tuple(f"d{number:03d}" for number in range(36, 40))
PICTURES = {"test": 4, "train": 6, "validation": 6}
"""Of each person, by split."""
SOURCE = "procedural faces of this project (restore_ml.data.sources.drawn_faces)"
LICENCE = "same licence as this project"
_HAIR = {"Black_Hair": (0.10, 0.08, 0.08), "Brown_Hair": (0.34, 0.21, 0.12), "Blond_Hair": (0.78, 0.64, 0.36),
         "Gray_Hair": (0.62, 0.62, 0.63)}


@dataclass(frozen=True)
class Person:
    """What does not change from picture to picture: half-axes, places and colours."""

    face: tuple[float, float]
    centre: float
    hair: tuple[float, float]
    fringe: float
    phase: float
    eye: tuple[float, float, float, float]
    brow: tuple[float, float, float]
    nose: tuple[float, float]
    mouth: tuple[float, float, float]
    hair_name: str
    bald: bool
    glasses: bool
    lipstick: bool
    skin: np.ndarray
    hair_colour: np.ndarray
    iris: np.ndarray
    lips: np.ndarray


@dataclass(frozen=True)
class Pose:
    """What does: the face's turn, scale and shift in the picture, the mouth, light and background."""

    angle: float
    scale: float
    shift: tuple[float, float]
    opening: float
    smile: float
    light: tuple[float, float]
    background: np.ndarray
    shirt: np.ndarray


def person(name: str) -> Person:
    """The person of that name."""
    rng = generator("drawn face", "person", name)
    u = rng.uniform
    width, height = u(0.48, 0.62), u(0.68, 0.80)
    skin = u(0.40, 0.98) * np.array([1.0, u(0.68, 0.86), u(0.52, 0.76)])
    hair_name = list(_HAIR)[int(rng.integers(4))]
    lipstick = bool(rng.random() < 0.3)
    lips = np.array([0.72, 0.12, 0.18]) if lipstick else skin * np.array([0.92, 0.62, 0.62])
    return Person(
        (width, height), u(0.02, 0.10), (width * u(1.12, 1.30), height * u(1.05, 1.18)), u(0.45, 0.62),
        u(0, 2 * np.pi), (width * u(0.40, 0.50), height * u(0.06, 0.16), u(0.10, 0.15), u(0.035, 0.07)),
        (u(0.10, 0.17), u(0.014, 0.036), u(-0.12, 0.12)), (u(0.07, 0.14), u(0.22, 0.32)),
        (height * u(0.48, 0.58), width * u(0.30, 0.44), u(0.035, 0.075)), hair_name, bool(rng.random() < 0.1),
        bool(rng.random() < 0.25), lipstick, skin, np.clip(np.array(_HAIR[hair_name]) + u(-0.05, 0.05, 3), 0, 1),
        u(0.05, 0.45, 3), lips)


def pose(name: str, number: int) -> Pose:
    """The circumstances of a person's picture."""
    rng = generator("drawn face", "picture", name, number)
    u = rng.uniform
    return Pose(u(-0.14, 0.14), u(0.86, 1.06), (u(-0.08, 0.08), u(-0.07, 0.07)),
                max(0.0, u(-0.03, 0.06)), u(-0.03, 0.07), (u(0, 2 * np.pi), u(0.08, 0.25)),
                u(0.45, 0.95, (4, 3)), u(0.1, 0.8, 3))


@lru_cache(maxsize=512)
def draw(name: str, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """A picture: SIZE x SIZE x 3 uint8, its parsing map (x 1, uint8), its landmarks (5 x 2 whole 1/64 pixels) and its
    attributes by name; drawn once a process, and not to be written to."""
    who, how = person(name), pose(name, number)
    rng = generator("drawn face", "noise", name, number)
    labels = _labels(who, how, *_face_grid(how, SIZE))
    fine = 2 * SIZE  # each pixel is the mean of four
    x, y = _face_grid(how, fine)
    colour = _paint(who, how, x, y, _labels(who, how, x, y), smooth(rng, fine, 3), smooth(rng, fine, 48))
    colour = (colour[::2, ::2] + colour[1::2, ::2] + colour[::2, 1::2] + colour[1::2, 1::2]) / 4
    image = np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)
    image.flags.writeable = labels.flags.writeable = False
    return image, labels[:, :, None], _landmarks(who, how), _attributes(who, how)


def smooth(rng: np.random.Generator, size: int | tuple[int, int], length: float) -> np.ndarray:
    """Smooth noise of mean about 0 and deviation about 1 that varies over `length` pixels: normal numbers on a coarse
    grid, blended by cubic B-splines."""
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = _spline(height, length), _spline(width, length)
    field: np.ndarray = rows @ rng.standard_normal((rows.shape[1], columns.shape[1])) @ columns.T
    return field / 0.48  # the deviation of a sum with those weights


def _spline(size: int, length: float) -> np.ndarray:
    position = np.arange(size) / length
    distance = np.abs(position[:, None] - np.arange(-1, int(size / length) + 3))
    return np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None)**3 / 6)


def _face_grid(how: Pose, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The face's own coordinates at the centres of size x size pixels."""
    axis = (2 * np.arange(size) + 1) / size - 1
    x, y = axis[None, :] - how.shift[0], axis[:, None] - how.shift[1]
    cos, sin = np.cos(how.angle) / how.scale, np.sin(how.angle) / how.scale
    return cos * x + sin * y, cos * y - sin * x


def _on_picture(how: Pose, points: np.ndarray) -> np.ndarray:
    """Face coordinates as pixels of the picture, (0, 0) being the centre of the upper left one."""
    cos, sin = np.cos(how.angle) * how.scale, np.sin(how.angle) * how.scale
    x = cos * points[:, 0] - sin * points[:, 1] + how.shift[0]
    y = sin * points[:, 0] + cos * points[:, 1] + how.shift[1]
    return (np.stack([x, y], 1) + 1) * (SIZE / 2) - 0.5


def _ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    return (x / a)**2 + (y / b)**2 < 1


def _labels(who: Person, how: Pose, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The parsing map at these face coordinates; later parts cover earlier ones."""
    (width, height), centre = who.face, who.centre
    labels = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.uint8)
    if not who.bald:
        labels[_ellipse(x, y - centre + 0.12, *who.hair)] = 1
    labels[(np.abs(x) < 0.5 * width) & (y > centre) & (y < centre + height + 0.22)] = 2  # the neck
    face = _ellipse(x, y - centre, width, height)
    line = centre - height * who.fringe + 0.12 * np.cos(3 * x + who.phase)
    labels[face if who.bald else face & (y > line)] = 2
    if not who.bald:
        labels[face & (y <= line)] = 1
    apart, up, a, b = who.eye
    lift, thick, tilt = who.brow
    for side in (-1, 1):
        u, v = x - side * apart, y - centre + up
        labels[(np.abs(v + lift - 2 * u * u + tilt * side * u) < thick) & (np.abs(u) < 1.25 * a) & face] = 3
        labels[_ellipse(u, v, a, b)] = 4
    half, low = who.nose
    down = (y - centre + up - b) / (low * height + up - b)
    labels[(down > 0) & (down < 1) & (np.abs(x) < half * (0.35 + 0.65 * down))] = 5
    below, wide, thick = who.mouth
    v = y - centre - below + how.smile * (x / wide)**2
    bow = np.sqrt(np.clip(1 - (x / wide)**2, 0, 1))
    gap = how.opening * bow
    labels[(v < -gap) & (v > -gap - thick * bow)] = 6
    labels[np.abs(v) < gap] = 7
    labels[(v >= gap) & (v < gap + 1.2 * thick * bow)] = 8
    return labels


def _paint(who: Person, how: Pose, x: np.ndarray, y: np.ndarray, labels: np.ndarray, grain: np.ndarray,
           broad: np.ndarray) -> np.ndarray:
    """Colours from 0 to 1: those of the labels, glasses, clothes and background, then light and noise."""
    palette = np.stack([np.zeros(3), who.hair_colour, who.skin, who.hair_colour * 0.7, np.array([0.95, 0.95, 0.93]),
                        who.skin * 0.9, who.lips, np.array([0.28, 0.06, 0.07]), who.lips * 1.08])
    colour = palette[labels]
    behind = labels == 0
    across, along = ((np.clip(axis[behind], -1, 1)[:, None] + 1) / 2 for axis in (x, y))
    left, right = ((1 - along) * how.background[row] + along * how.background[row + 2] for row in (0, 1))
    colour[behind] = (1 - across) * left + across * right + 0.08 * broad[behind][:, None]
    colour[behind & (y > who.centre + who.face[1] + 0.02 + 0.5 * x * x)] = how.shirt
    apart, up, a, b = who.eye
    for side in (-1, 1):
        u, v = x - side * apart, y - who.centre + up
        radius = u * u + v * v
        eye = labels == 4
        colour[eye & (radius < (1.1 * b)**2)] = who.iris
        colour[eye & (radius < (0.5 * b)**2)] = 0.03
        if who.glasses:
            ring = np.hypot(u / (1.5 * a), v / (1.2 * a))
            bridge = (np.abs(v) < 0.012) & (side * u < 0) & (ring > 1) & (x * side > 0)
            colour[(np.abs(ring - 1) < 0.10) | bridge] = 0.08
    angle, strength = how.light
    light = 1 + strength * (x * np.cos(angle) + y * np.sin(angle))
    radius = (x / who.face[0])**2 + ((y - who.centre) / who.face[1])**2
    light = light * np.where((labels >= 2) & (radius < 1), 1 - 0.25 * radius, 1)
    noise = 0.02 * grain * np.where(labels == 1, 2, 1)
    return colour * light[:, :, None] + noise[:, :, None]


def _landmarks(who: Person, how: Pose) -> np.ndarray:
    """The eyes' centres, the tip of the nose and the corners of the mouth, as CelebA orders them, in 1/64 px."""
    apart, up, *_ = who.eye
    below, wide, _ = who.mouth
    corner = who.centre + below - how.smile
    points = np.array([(-apart, who.centre - up), (apart, who.centre - up),
                       (0, who.centre + who.nose[1] * who.face[1]), (-wide, corner), (wide, corner)])
    return np.rint(_on_picture(how, points) * 64).astype(np.int64)


def _attributes(who: Person, how: Pose) -> dict[str, int]:
    """What is known of CelebA's forty, by definition rather than by looking."""
    attributes = {"Bald": who.bald, "Bangs": not who.bald and who.fringe < 0.5, "Big_Lips": who.mouth[2] > 0.058,
            "Big_Nose": who.nose[0] > 0.115, "Bushy_Eyebrows": who.brow[1] > 0.027, "Eyeglasses": who.glasses,
            "Mouth_Slightly_Open": how.opening > 0.01, "Narrow_Eyes": who.eye[3] < 0.047,
            "Oval_Face": who.face[1] > 1.35 * who.face[0], "Pale_Skin": bool(who.skin.mean() > 0.66),
            "Smiling": how.smile > 0.03, "Wearing_Hat": False, "Wearing_Lipstick": who.lipstick,
            "Blurry": False, "Mustache": False, "Goatee": False, "No_Beard": True,
            **{name: not who.bald and who.hair_name == name for name in _HAIR}}
    return {name: 1 if attributes[name] else -1 for name in ATTRIBUTES if name in attributes}


def split_of(name: str) -> str:
    """`test`, `validation` or `train`, whole persons."""
    return "test" if name in TEST else "validation" if name in VALIDATION else "train"


def makers() -> dict[str, Maker]:
    """`faces_drawn`, twelve persons to test on, and `faces_drawn_train`."""
    return {"faces_drawn": lambda folder: lay_out(folder, TEST),
            "faces_drawn_train": lambda folder: lay_out(folder, (*TRAIN, *VALIDATION))}


def lay_out(folder: Path, persons: Iterable[str]) -> dict[str, Any]:
    """Fill the folder with these persons' pictures, `<person>/<number>.png` with `.parsing.png` and `.json`; returns
    what they are."""
    described = {}
    for name in persons:
        for number in range(1, PICTURES[split_of(name)] + 1):
            image, parsing, points, attributes = draw(name, number)
            write_picture(folder / f"{name}/{number}.png", image)
            write_picture(folder / f"{name}/{number}.parsing.png", parsing)
            write_annotations(folder / f"{name}/{number}.json", {"landmarks": (points / 64).tolist(),
                                                           "attributes": attributes})
            described[f"{name}/{number}.png"] = {"group": name, "split": split_of(name)}
    splits = {stated["split"] for stated in described.values()}
    return {"role": "test" if splits == {"test"} else "train", "domain": "faces", "synthetic": True,
            "source": SOURCE, "licence": LICENCE, "pictures": described}
