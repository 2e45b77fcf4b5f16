"""Photographs: one picture file a record, grey or RGB."""

from __future__ import annotations

from restore_ml.data.domain import Maker
from restore_ml.data.picture_files import PictureFiles
from restore_ml.data.public_layouts import CYCLEGAN, FOLDERS, SELFEXSR


class Photos(PictureFiles):
    """`image`: H x W x C uint8, C = 1 or 3, sRGB."""

    name = "photos"
    what = "photographs"
    counted = ("pictures", "photographs")
    layouts = (SELFEXSR, CYCLEGAN, FOLDERS)

    def embedded(self) -> dict[str, Maker]:
        """Photographs of the installed packages: test tiles, and whole ones to train and validate on; old ones of the
        shelf, as they were found."""
        from restore_ml.data import embedded_photos
        from restore_ml.data.sources import old_photos

        return embedded_photos.makers() | old_photos.makers()


DOMAIN = Photos()
