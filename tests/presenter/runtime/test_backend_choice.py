"""The fastest backend is measured once, remembered, and measured again where anything has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.backends import available
from models.generator import Generator
from models.weights import generator_path
from presenter.runtime import backend_choice
from presenter.runtime.backend_choice import cache_dir, fastest


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load(generator_path())


@pytest.fixture
def measurements(monkeypatch) -> list[str]:
    """Which generators were measured; the last backend wins."""
    seen: list[str] = []

    def measured(generator: Generator) -> dict[str, float]:
        seen.append(generator.fingerprint)
        return {name: float(-k) for k, name in enumerate(available())}

    monkeypatch.setattr(backend_choice, "measured", measured)
    return seen


def test_measures_every_backend(generator):
    costs = backend_choice.measured(generator)
    assert sorted(costs) == sorted(available())
    assert all(ms > 0 for ms in costs.values())


def test_is_measured_once(generator, measurements, tmp_path):
    assert fastest(generator, tmp_path) == fastest(generator, tmp_path) == available()[-1]
    assert len(measurements) == 1
    [file] = tmp_path.iterdir()
    assert json.loads(file.read_text())["backend"] == available()[-1]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"backend": 3}', '{"backend": "fft"}', '{"ms": {}}', "\udcff"])
def test_a_damaged_file_is_measured_anew(generator, measurements, tmp_path, text):
    fastest(generator, tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert fastest(generator, tmp_path) == available()[-1]
    assert len(measurements) == 2
    assert json.loads(file.read_text())["backend"] == available()[-1]


def test_other_weights_or_another_processor_are_measured_anew(generator, measurements, tmp_path, monkeypatch):
    fastest(generator, tmp_path)
    monkeypatch.setattr(generator, "fingerprint", "other")
    fastest(generator, tmp_path)
    monkeypatch.setattr(backend_choice, "processor", lambda: "another")
    fastest(generator, tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    fastest(generator, tmp_path)
    monkeypatch.setattr(torch, "__version__", "0")
    fastest(generator, tmp_path)
    assert len(measurements) == 5


def test_a_folder_that_cannot_be_written_is_no_fault(generator, measurements, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert fastest(generator, blocked / "folder") == available()[-1]


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "presenter"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_dir() == Path.home() / ".cache" / "presenter"
