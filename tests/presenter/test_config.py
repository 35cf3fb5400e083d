"""Configuration: presets load, mistakes name the key."""

import pytest

from presenter.config import AppConfig, from_dict, load_config, presets
from presenter.errors import ConfigError


@pytest.mark.parametrize("name", presets())
def test_presets_load(name):
    assert isinstance(load_config(name), AppConfig)


def test_there_are_the_three_presets():
    assert presets() == ["cpu", "gpu", "tiny"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serverr: {}", "unknown key 'serverr'"),
        ("server: {prot: 1}", "unknown key 'prot'"),
        ("server: {port: eighty}", "port: expected int, got 'eighty'"),
        ("server: {port: true}", "port: expected int"),
        ("server: {port: 70000}", "server.port: expected 0..65535"),
        ("server: [1]", "expected a mapping"),
        ("engine: {device: tpu}", "engine.device: expected one of cpu, cuda"),
        ("engine: {backend: fft}", "engine.backend: expected one of auto, float32, winograd, bfloat16, int8 on cpu"),
        ("engine: {device: cuda, backend: winograd}", "engine.backend: expected one of auto, float32 on cuda"),
        ("engine: {threads: 0}", "engine.threads: expected at least 1"),
        ("a: b: c", "not valid YAML"),
    ],
)
def test_mistakes_name_the_key(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_missing_file_lists_presets():
    with pytest.raises(ConfigError, match="cpu, gpu, tiny"):
        load_config("nowhere.yaml")


def test_empty_file_is_all_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("")
    assert load_config(str(path)) == AppConfig()


def test_integers_are_fine_where_a_fraction_is_expected():
    from dataclasses import dataclass

    @dataclass
    class Settings:
        gain: float = 0.5

    assert from_dict(Settings, {"gain": 2}, "test").gain == 2.0
