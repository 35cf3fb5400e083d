"""Nothing of the user's is overwritten by surprise, and what is written appears whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from stream.errors import MediaFileError
from stream.files.output import OutputExistsError, PartialFile, check_output
from stream.files.pictures import PictureWriter, is_picture_pattern


def test_a_new_name_is_fine_and_an_old_one_needs_leave(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    check_output(path)
    path.write_text("old")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        check_output(path)
    check_output(path, overwrite=True)


@pytest.mark.parametrize("make", ["same", "link", "hard", "device", "folder", "fifo", "dangling"])
def test_inputs_links_devices_and_folders_are_never_written(tmp_path: Path, make: str) -> None:
    recording = tmp_path / "in.wav"
    recording.write_text("mine")
    path = tmp_path / "out.wav"
    if make == "same":
        path = tmp_path / "." / "in.wav"
    elif make == "link":
        path.symlink_to(recording)
    elif make == "dangling":
        path.symlink_to(tmp_path / "elsewhere.wav")
    elif make == "hard":
        os.link(recording, path)
    elif make == "device":
        path = Path("/dev/null")
    elif make == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(MediaFileError, match=r"is (a link|a folder|a device|the file that is read)"):
        check_output(path, [recording, tmp_path / "none"], overwrite=True)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    partial = PartialFile(path, overwrite=False)
    path.write_text("somebody's")
    with pytest.raises(OutputExistsError, match="meanwhile"):
        partial.commit()
    partial.discard()
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]
    assert path.read_text() == "somebody's"


def frames(count: int) -> list[np.ndarray]:
    return [np.full((8, 8, 3), 10 * k, np.uint8) for k in range(count)]


@pytest.mark.parametrize(
    ("pattern", "first"), [("f_%03d.png", "f_001.png"), ("f%d.png", "f1.png"), ("new/folder/%06d.png", "000001.png")]
)
def test_pictures_are_numbered_and_appear_together(tmp_path: Path, pattern: str, first: str) -> None:
    path = tmp_path / pattern
    folder = path.parent
    with PictureWriter(path, overwrite=False) as writer:
        for rgb in frames(3):
            writer.write(rgb)
        assert not (folder / first).exists()
    assert len(list(folder.iterdir())) == 3
    assert (folder / first).is_file()
    with pytest.raises(OutputExistsError):
        PictureWriter(path, overwrite=False)


def test_interrupted_pictures_leave_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with PictureWriter(tmp_path / "a" / "b" / "%d.png") as writer:
            writer.write(frames(1)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_one_picture_is_no_pattern() -> None:
    assert not is_picture_pattern(Path("x.png"))
    assert not is_picture_pattern(Path("x%d%d.png"))
    with pytest.raises(MediaFileError, match="frame_%05d.png"):
        PictureWriter(Path("x.png"))
