"""Imports go one way, and heavy packages stay in their room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "models": {"presenter", "stream", "asyncio", "av", "aiortc", "aiohttp", "websockets"},
    "stream": {"presenter", "models", "torch"},
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", FORBIDDEN)
def test_rooms_import_one_way(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {f"{path.relative_to(ROOT)}: {name}" for path in files for name in imports(path) & FORBIDDEN[room]}
    assert found == set()


def test_studio_alone_uses_the_renderer():
    users = {path.relative_to(ROOT).parts[:2] for path in (ROOT / "presenter").rglob("*.py") if "bpy" in imports(path)}
    assert users == {("presenter", "studio")}


def test_rooms_are_where_they_should_be():
    assert {"presenter", "stream", "models", "web", "configs", "tests"} <= {p.name for p in ROOT.iterdir()}


IMPORT_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("packages", "absent"),
    [
        ("presenter.meeting,stream.camera,stream.sound,stream.playout", {"aiortc"}),
        ("presenter.runtime,presenter.tts", {"aiortc", "aiohttp"}),
        ("presenter.client", {"aiortc", "torch"}),
    ],
)
def test_importing_a_room_brings_no_heavy_package_of_another(packages, absent):
    command = [sys.executable, "-c", IMPORT_ALL, packages]
    loaded = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout
    assert not absent & set(loaded.split())
