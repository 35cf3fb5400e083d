"""Uploads: few at a time, one of each name, given up when slow, and nothing of them is left over."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presenter.errors import CapacityError
from presenter.server.uploads import Uploads

BUSY = "Come back later."


def test_paths_are_new_and_keep_only_the_extension(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", "photo", 4, BUSY)
    names = ["me.PNG", "../../x.jpg", "no extension", "evil.p/g"]
    paths = [uploads.open(name) for name in names]
    assert [path.name for path in paths] == ["photo.png", "photo.jpg", "photo", "photo"]
    assert len({path.parent for path in paths}) == 4
    assert {path.parent.parent for path in paths} == {tmp_path / "uploads"}


def test_there_are_few_at_a_time(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", "photo", 3, BUSY)
    paths = [uploads.open("a.png") for _ in range(3)]
    with pytest.raises(CapacityError, match=BUSY):
        uploads.check_room()
    with pytest.raises(CapacityError, match=BUSY):
        uploads.open("a.png")
    uploads.discard(paths[0])
    uploads.discard(paths[0])
    uploads.open("a.png")
    uploads.close()
    uploads.close()
    with pytest.raises(CapacityError, match="shutting down"):
        uploads.open("a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there a process can't be asked whether it lives")
def test_what_a_dead_process_left_is_deleted_at_the_start(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    for folder in (f"{process.pid}-dead", f"{os.getpid()}-alive", f"{10**30}-never", "foreign"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.png").write_bytes(b"x")
    Uploads(tmp_path, "photo", 3, BUSY)
    assert {folder.name for folder in tmp_path.iterdir()} == {f"{os.getpid()}-alive", "foreign"}
