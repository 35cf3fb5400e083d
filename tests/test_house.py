"""Imports go one way, between the packages and between their rooms, and heavy libraries stay in theirs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

BETWEEN_PACKAGES = {
    "models": {"presenter", "stream", "asyncio", "av", "aiortc", "aiohttp", "websockets"},
    "stream": {"presenter", "models", "torch"},
}
"""What a package must not import."""

STREAM = {
    "errors": set(),
    "yuv": set(),
    "media": {"errors", "yuv"},
    "clock": {"media"},
    "pcm": {"errors", "media", "clock"},
    "wire": {"errors", "pcm"},
    "files": {"errors", "media", "pcm"},
    "dialects": {"errors", "media", "pcm", "wire"},
    "playout": {"errors", "media", "clock", "pcm", "wire"},
    "sound": {"errors", "media", "clock", "pcm", "playout"},
    "framing": {"errors", "media"},
    "camera": {"errors", "media", "clock", "playout", "framing"},
    "rtc": {"errors", "media", "clock", "pcm", "playout"},
}
"""What a room of `stream` may import of the others; each line only names lines above it, so there is no circle."""

PRESENTER = {
    "errors": set(),
    "config": {"errors"},
    "client": {"errors"},
    "runtime": {"errors", "config"},
    "video": {"errors", "config", "runtime"},
    "enroll": {"errors", "config", "runtime", "video"},
    "tts": {"errors", "config", "runtime"},
    "meeting": {"errors", "config", "runtime", "video", "enroll"},
    "api": {"errors", "config", "runtime", "enroll", "tts", "video"},
    "server": {"errors", "config", "runtime", "enroll", "tts", "api"},
    "integrations": {"config", "runtime"},
    "doctor": {"errors", "config", "runtime", "meeting", "tts"},
    "studio": set(),
    "recipe": {"errors", "config", "runtime", "enroll", "studio", "video"},
    "bench": {"errors", "config", "client", "runtime", "video", "meeting", "server"},
    "commands": {
        *("errors", "config", "runtime", "meeting", "api", "server", "doctor"),
        *("recipe", "bench"),  # the only ones who run them
    },
    "cli": {"errors", "config", "commands", "recipe"},
    "__main__": {"cli"},
}
"""The same for `presenter`."""

AT_HOME = {
    "aiortc": {"stream/rtc", "presenter/bench"},  # a benchmark is a peer of its own
    "sounddevice": {"stream/sound"},
    "bpy": {"presenter/studio"},
    "onnxruntime": {"models", "presenter/tts"},
    "yaml": {"presenter/config.py"},
    "pydantic": {
        "presenter/config.py",
        "presenter/errors.py",
        "presenter/server/bodies.py",
        "presenter/server/parsing.py",
    },
    "prometheus_client": {"presenter/runtime/metrics.py"},
}
"""Libraries, and the only places that import them."""


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: relative imports hide the room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    return files


@pytest.mark.parametrize("package", BETWEEN_PACKAGES)
def test_packages_import_one_way(package):
    forbidden = BETWEEN_PACKAGES[package]
    found = {f"{path.name}: {name}" for path in sources(package) for name in imports(path)}
    assert {one for one in found if one.split(": ")[1].split(".")[0] in forbidden} == set()


@pytest.mark.parametrize(("package", "rooms"), [("stream", STREAM), ("presenter", PRESENTER)])
def test_rooms_import_one_way(package, rooms):
    above: set[str] = set()
    for room, allowed in rooms.items():
        assert allowed <= above, f"{room} would close a circle"
        above.add(room)
    used = set()
    for path in sources(package):
        parts = path.relative_to(ROOT / package).parts
        room = parts[0].removesuffix(".py")
        used |= {(room, name.split(".")[1]) for name in imports(path) if name.startswith(f"{package}.")}
    found = {(room, other) for room, other in used if room != other and room != "__init__"}
    assert found <= {(room, other) for room, allowed in rooms.items() for other in allowed}


def test_every_room_says_what_it_holds():
    for package in ("stream", "presenter"):
        for init in (ROOT / package).rglob("__init__.py"):
            text = ast.get_docstring(ast.parse(init.read_text())) or ""
            assert init.parent.name in ("stream", "presenter") or "ever hold" in text, init


def test_libraries_stay_at_home():
    found = {}
    for folder in ("presenter", "stream", "models"):
        for path in sources(folder):
            for name in {name.split(".")[0] for name in imports(path)} & AT_HOME.keys():
                place = path.relative_to(ROOT).as_posix()
                if not any(place == home or place.startswith(home + "/") for home in AT_HOME[name]):
                    found[place] = name
    assert found == {}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("presenter.client", ("torch", "aiortc", "aiohttp")),
        ("stream.camera.virtual_camera", ("torch", "aiortc")),
        ("presenter.meeting.terminal", ("aiortc", "aiohttp")),
        ("presenter.cli", ("torch", "aiortc", "aiohttp")),
    ],
)
def test_what_a_room_loads(module, absent):
    script = f"import sys, {module}; print([name for name in {absent} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_files_are_short():
    long = {
        path.name: count
        for folder in ("presenter", "stream", "models")
        for path in sources(folder)
        if (count := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_packages_are_where_they_should_be():
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
