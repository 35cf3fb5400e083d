"""Private members of aiortc: in one module only, and there in the installed version. The last resort of ICE."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aioice import ice
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.codecs import h264

from stream.rtc import aiortc_internals
from stream.rtc.aiortc_internals import MEMBERS, patch_process_host_addresses

ROOT = Path(__file__).resolve().parents[3]
THE_MODULE = Path("stream/rtc/aiortc_internals.py")
FOREIGN = ("aiortc", "aioice")
PUBLIC = {"_replace", "_asdict", "_fields"}  # of named tuples
MANGLED = re.compile(r"_RTC\w+?__\w+")


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for room in ("stream", "presenter"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def imported(tree: ast.Module) -> dict[str, Any]:
    """What a module imports from aiortc or aioice, by the name it has there."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FOREIGN:
            for alias in node.names:
                found[alias.asname or alias.name] = getattr(importlib.import_module(node.module or ""), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in FOREIGN:
                    found[alias.asname or alias.name] = importlib.import_module(alias.name)
    return found


def may_hold_foreign_objects(tree: ast.Module) -> bool:
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return bool(imported(tree)) or any(module.startswith("stream.rtc") for module in modules)


def reaches_in(tree: ast.Module) -> Iterator[str]:
    """Private members of other objects than `self`, by attribute or by name, and modules that are changed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if not (isinstance(owner, ast.Name) and owner.id in ("self", "cls", "super")):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            if node.func.id in ("getattr", "setattr", "hasattr", "delattr") and any(map(is_private, names)):
                yield ast.unparse(node)
            changed = node.args[0] if node.args else None
            if node.func.id in ("vars", "setattr") and isinstance(changed, ast.Name) and changed.id in imported(tree):
                yield ast.unparse(node)


def overrides(tree: ast.Module) -> Iterator[str]:
    """Private members that a class shares with its base class of aiortc."""
    known = imported(tree)
    for node in ast.walk(tree):
        bases = [known.get(ast.unparse(base)) for base in node.bases] if isinstance(node, ast.ClassDef) else []
        for base in filter(inspect.isclass, bases):
            theirs = set(re.findall(r"\b_[a-z]\w+", inspect.getsource(base)))
            ours = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            ours |= {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}
            yield from sorted(f"{node.name}.{name}" for name in theirs & ours if is_private(name))


def test_no_other_module_touches_a_private_member() -> None:
    found = []
    for path, tree in trees():
        if path == THE_MODULE:
            continue
        if may_hold_foreign_objects(tree):
            found += [f"{path}: {what}" for what in (*reaches_in(tree), *overrides(tree))]
        found += [f"{path}: {what}" for what in MANGLED.findall((ROOT / path).read_text())]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "sender._ssrc",
        "pc.getSenders()[0]._ssrc = 1",
        "self._sender._ssrc",
        'getattr(sender, "_ssrc")',
        "vars(vpx)['MAX_BITRATE'] = 1",
        "class Encoder(vpx.Vp8Encoder):\n    pass\nEncoder()._buffer",
    ],
)
def test_the_check_sees_each_way_to_touch_one(text: str) -> None:
    assert list(reaches_in(ast.parse("from aiortc.codecs import vpx\n" + text)))


def test_the_check_sees_what_a_subclass_shares() -> None:
    text = "from aiortc.jitterbuffer import JitterBuffer\nclass B(JitterBuffer):\n def f(self): self._origin = 0"
    assert list(overrides(ast.parse(text))) == ["B._origin"]


def test_every_member_exists_and_says_why(run: Callable) -> None:
    async def scenario() -> list[str]:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = pc.addTransceiver("video")
        objects = [transceiver.sender, transceiver.receiver, transceiver.sender.transport, h264.H264Encoder()]
        missing = []
        for member in MEMBERS:
            assert member.reason
            assert member.until
            if isinstance(member.owner, ModuleType):
                owner: Any = member.owner
            else:
                owner = next(one for one in objects if type(one) is member.owner)
            mangled = f"_{member.owner.__name__}{member.name}" if member.name.startswith("__") else member.name
            if not hasattr(owner, mangled):
                missing.append(f"{member.owner.__name__}.{member.name}")
        await pc.close()
        return missing

    assert run(scenario()) == []


def test_every_member_that_is_used_is_listed() -> None:
    tree = ast.parse((ROOT / THE_MODULE).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    used -= {"_sender", "_receiver"}
    listed = {m.name if not m.name.startswith("__") else f"_{m.owner.__name__}{m.name}" for m in MEMBERS}
    private = {name for name in listed if name.startswith("_")}
    assert used == private


def test_patches_of_the_process_say_so() -> None:
    for name, function in inspect.getmembers(aiortc_internals, inspect.isfunction):
        if function.__module__ == aiortc_internals.__name__ and "vars(" in inspect.getsource(function):
            assert name.startswith("patch_process_")


def use(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> Callable[..., list[str]]:
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: list(addresses))
    patch_process_host_addresses()
    patch_process_host_addresses()
    return ice.get_host_addresses


def test_without_a_network_the_loopback_address_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = use(monkeypatch, [])
    assert addresses(use_ipv4=True, use_ipv6=True) == ["127.0.0.1"]
    assert addresses(use_ipv4=False, use_ipv6=True) == []


def test_with_a_network_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = use(monkeypatch, ["192.0.2.7"])
    assert addresses(use_ipv4=True, use_ipv6=True) == ["192.0.2.7"]
