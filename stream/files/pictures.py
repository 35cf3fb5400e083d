"""Write numbered images: `frame_%05d.png`."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from stream.errors import MediaFileError
from stream.files.output import OutputExistsError, errors_of, move
from stream.media import ByteArray, FloatArray

_NUMBER = re.compile(r"%0?(\d?)d")


def is_picture_pattern(path: Path) -> bool:
    """Whether a name stands for numbered images."""
    return path.suffix.lower() == ".png" and len(_NUMBER.findall(path.name)) == 1


class PictureWriter:
    """A context manager: add frames, leave the block, find one PNG per frame, counted from 1.

    The images are kept in a folder of another name until the last one is there; if the block is
    left by an exception nothing remains.
    """

    def __init__(self, pattern: Path, *, overwrite: bool = True) -> None:
        """Describe the images; nothing is written before the block is entered.

        Args:
            pattern: a name with one `%d` or `%05d` for the number; its folder is made where it is missing.
            overwrite: whether images of the same numbers are replaced.

        Raises:
            OutputExistsError: if there are images that fit the pattern, and they may not be replaced.
            MediaFileError: if the name is no pattern.
        """
        self._pattern = pattern
        if not is_picture_pattern(pattern):
            raise MediaFileError(f"{pattern}: expected a name with one number in it, such as frame_%05d.png")
        self._overwrite = overwrite
        self._count = 0
        if not overwrite and (there := self._existing()) is not None:
            raise OutputExistsError(f"{there}: exists already; choose another name or add --overwrite")

    def __enter__(self) -> PictureWriter:
        """Make the temporary folder."""
        with errors_of(self._pattern):
            folder = self._pattern.absolute().parent
            self._made = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            self._temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".presenter-"))
        return self

    def write(self, rgb: ByteArray) -> None:
        """Add the next frame, uint8 `[H, W, 3]`, or `[H, W, 4]` with straight alpha.

        Raises:
            MediaFileError: if it can't be written.
        """
        self._count += 1
        code = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
        coded, data = cv2.imencode(".png", cv2.cvtColor(rgb, code).astype(np.uint8))
        if not coded:
            raise MediaFileError(f"{self._pattern}: expected a picture, got {list(rgb.shape)}")
        with errors_of(self._pattern):
            (self._temporary / f"{self._count}.png").write_bytes(data.tobytes())

    def write_sound(self, piece: FloatArray) -> None:
        """Images have no sound."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Rename the images to their final names, or remove them."""
        try:
            if kind is None:
                with errors_of(self._pattern):
                    for number in range(1, self._count + 1):
                        target = self._pattern.with_name(self._name(number))
                        move(self._temporary / f"{number}.png", target, overwrite=self._overwrite)
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
            for folder in self._made if kind is not None else ():
                if not any(folder.iterdir()):
                    folder.rmdir()

    def _name(self, number: int) -> str:
        return _NUMBER.sub(lambda found: str(number).zfill(int(found[1] or 1)), self._pattern.name)

    def _existing(self) -> Path | None:
        before, _, after = _NUMBER.split(self._pattern.name)
        fits = re.compile(re.escape(before) + r"\d+" + re.escape(after))
        folder = self._pattern.parent
        return next((path for path in folder.glob("*") if fits.fullmatch(path.name)), None) if folder.is_dir() else None
