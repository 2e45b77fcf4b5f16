"""What a picture file says beside its pixels, and what of it goes with the restored picture: profile and resolution."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import Image

from restore_ml.data.pictures import FORMATS, orientation

HOLDS_PROFILE = ("PNG", "JPEG", "TIFF", "WEBP")
HOLDS_RESOLUTION = ("PNG", "JPEG", "TIFF", "BMP")


@dataclass(frozen=True)
class Container:
    """The ICC profile of a picture file and its resolution in pixels an inch (x, y), where it has them."""

    profile: bytes | None = None
    dpi: tuple[float, float] | None = None

    def options(self, form: str, scale: float = 1) -> tuple[dict[str, Any], str]:
        """Pillow's options for saving the restored RGB picture as `form`, and a sentence on what is lost ("": nothing).

        `scale`: by how much the picture was enlarged; its size on paper stays. The numbers of the pixels keep the
        meaning that the profile of an RGB picture gives them, so it goes along; one for grey or CMYK does not fit RGB.
        """
        options: dict[str, Any] = {}
        lost = []
        if self.profile is not None:
            space = self.profile[16:20].decode("ascii", "replace").strip()
            if space == "RGB" and form in HOLDS_PROFILE:
                options["icc_profile"] = self.profile
            else:
                lost.append("its colour profile is left out ("
                            + (f"{form} holds none" if space == "RGB" else f"it is for {space}, not for RGB") + ")")
        if self.dpi is not None:
            if form in HOLDS_RESOLUTION:
                options["dpi"] = (self.dpi[0] * scale, self.dpi[1] * scale)
            else:
                lost.append(f"its resolution is left out ({form} holds none)")
        return options, f" Of the original, {' and '.join(lost)}." if lost else ""


def read_container(data: bytes) -> Container:
    """The profile and resolution of a picture file's bytes, as far as they can be used; none of broken ones."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            profile, dpi = image.info.get("icc_profile"), image.info.get("dpi")
            x, y = (float(value) for value in dpi) if dpi else (0.0, 0.0)
            if orientation(image) in range(5, 9):
                x, y = y, x
    except Exception:  # what the reader of the picture says counts
        return Container()
    return Container(profile if isinstance(profile, bytes) and len(profile) >= 128 else None,
                     (x, y) if 1 <= x < 1e5 and 1 <= y < 1e5 else None)
