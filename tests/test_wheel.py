"""A built wheel holds everything that going live needs, and works outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=240, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_wheel_renders_outside_the_checkout(unpacked, tmp_path):
    for needed in (
        "web/index.html",
        "configs/cpu.yaml",
        "models/weights/syncformer.safetensors",
        "models/weights/generator.safetensors",
        "models/weights/occlusion.safetensors",
        "models/topology.safetensors",
        "models/assets/face_landmarks.onnx",
        "models/assets/NOTICE",
        "presenter/presenters/default/identity.safetensors",
        "presenter/presenters/sam/generator.safetensors",
    ):
        assert (unpacked / needed).is_file(), needed
    script = f"""
import sys
sys.path = [p for p in sys.path if not p.startswith({str(ROOT)!r}) or 'site-packages' in p]
sys.path.insert(0, {str(unpacked)!r})
sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]
import presenter, models, stream
assert presenter.__file__.startswith({str(unpacked)!r}), presenter.__file__
from presenter.server.app import web_folder
assert (web_folder() / 'index.html').is_file()
from presenter.cli import main
raise SystemExit(main(['--config', 'tiny', 'doctor']))
"""
    environment = {**os.environ, "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment
    )
    assert "ok   presenters: default" in run.stdout, run.stdout + run.stderr
    assert "ok   face tracker (enrolment)" in run.stdout, run.stdout + run.stderr
