"""Paintings and drawings: one picture file a record, in a folder for each artist or family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from restore_ml.data.domain import Maker
from restore_ml.data.picture_files import PictureFiles
from restore_ml.data.pictures import PROMISING
from restore_ml.data.public_layouts import CYCLEGAN, Found, Layout


def _paintings_of_cyclegan(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    """Side A: in the published sets (monet2photo, vangogh2photo, cezanne2photo, ukiyoe2photo) the paintings."""
    both, _ = CYCLEGAN.select(paths, role)
    chosen = [item for item in both if PurePosixPath(item.path).parts[0].endswith("A")]
    return chosen, (f"Read as a CycleGAN folder of paintings (A) and photographs (B): {len(chosen)} files of side A "
                   f"are taken, {len(paths) - len(chosen)} other files are not.")


def _shows_artists(paths: Sequence[str]) -> bool:
    """Pictures only in folders, at least two of them."""
    places = {PurePosixPath(path).parent for path in paths if PurePosixPath(path).suffix.lower() in PROMISING}
    return len(places) > 1 and PurePosixPath(".") not in places


def _artists(paths: Sequence[str], role: str) -> tuple[list[Found], str]:
    chosen = [Found(path, group=DOMAIN.group(path)) for path in paths]
    pictures = [item for item in chosen if DOMAIN.promises(item.path)]
    artists = {item.group for item in pictures if item.group}
    return chosen, f"Read as a folder for each of {len(artists)} artists, none of whom is split."


class Paintings(PictureFiles):
    """`image`: H x W x C uint8, C = 1 or 3, sRGB. The group is the folder that a picture lies in."""

    name = "paintings"
    what = "paintings"
    counted = ("paintings", "collections")
    layouts = (Layout("cyclegan", CYCLEGAN.recognises, _paintings_of_cyclegan),
               Layout("folders", _shows_artists, _artists))

    def group(self, record: str) -> str:
        """The folder of the artist, collection or family; "" for a picture in none."""
        return PurePosixPath(record).parent.as_posix().removeprefix(".")

    def embedded(self) -> dict[str, Maker]:
        """Photographs painted in seven ways, on both sides, and the illustrations of a book."""
        from restore_ml.data.sources import paintings

        return paintings.makers()


DOMAIN = Paintings()
