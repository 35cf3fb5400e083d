"""Configuration: presets load, mistakes name the key."""

import dataclasses
import re

import pytest
from pydantic import ValidationError

from presenter.config import AppConfig, ServerConfig, load_config, override, presets
from presenter.errors import ConfigError


@pytest.mark.parametrize("name", presets())
def test_presets_load(name):
    assert isinstance(load_config(name), AppConfig)


def test_there_are_the_three_presets():
    assert presets() == ["cpu", "gpu", "tiny"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serverr: {}", "serverr: expected one of camera, engine, presenters, server, got an unknown key"),
        ("server: {prot: 1}", "server.prot: expected one of host, .*, port, .*, got an unknown key"),
        ("server: {port: eighty}", "server.port: expected an integer, got 'eighty'"),
        ("server: {port: '8080'}", "server.port: expected an integer, got '8080'"),
        ("server: {port: true}", "server.port: expected an integer, got True"),
        ("server: {port: 80.5}", "server.port: expected an integer, got 80.5"),
        ("server: {port: 70000}", "server.port: expected at most 65535, got 70000"),
        (f"server: {{port: 0x{'f' * 5000}}}", "server.port: expected at most 65535, got a number too long to show"),
        ("server: {host: ''}", "server.host: expected a text that is not empty, got ''"),
        ("server: {ice_servers: stun:a}", "server.ice_servers: expected a list, got 'stun:a'"),
        ("server: {ice_servers: [stun:a, 1]}", "server.ice_servers.1: expected a text, got 1"),
        ("server: [1]", r"server: expected a mapping, got \[1\]"),
        ("server:", "server: expected a mapping, got None"),
        ("1: 2", "1: expected a text as key, got 1"),
        ("''", "expected a mapping, got ''"),
        ("engine: {device: tpu}", "engine.device: expected 'cpu' or 'cuda', got 'tpu'"),
        ("engine: {backend: fft}", "engine.backend: expected 'auto', 'float32', .* or 'int8', got 'fft'"),
        (
            "engine: {device: cuda, backend: winograd}",
            "engine.backend: expected 'auto' or 'float32' on cuda, got 'winograd'",
        ),
        ("camera: {size: 4k}", "camera.size: expected '720p' or '1080p', got '4k'"),
        ("camera: {gate_dbfs: .nan}", "camera.gate_dbfs: expected a finite number, got nan"),
        ("camera: {gate_dbfs: low}", "camera.gate_dbfs: expected a number, got 'low'"),
        ("a: b: c", "expected valid YAML"),
        ("server: {port: 2024-13-45}", "expected valid YAML: month"),
        ("[" * 3000, "expected valid YAML"),
        ("server: {port: " + "9" * 5000 + "}", "expected valid YAML"),
    ],
    ids=range(25),
)
def test_mistakes_name_the_key(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}: {message}"):
        load_config(str(path))


BOUNDS = [
    ("server.port", 0, 65535),
    ("server.max_sessions", 0, 1000),
    ("server.max_bots", 1, 1000),
    ("server.max_publications", 0, 100),
    ("server.max_viewers", 1, 10_000),
    ("server.requests_per_minute", 0, 100_000),
    ("server.max_speech_s", 1, 3600),
    ("server.max_upload_mb", 1, 1000),
    ("server.max_video_mb", 1, 100_000),
    ("engine.threads", 1, 1024),
    ("engine.head_motion", 0, 1),
    ("engine.personalise_s", 1, 86_400),
    ("camera.gate_dbfs", -90, 0),
    ("camera.style_strength", 0, 1.5),
    ("camera.offset_ms", -500, 500),
]


@pytest.mark.parametrize(("key", "lowest", "highest"), BOUNDS)
def test_numbers_have_bounds(key, lowest, highest):
    section, name = key.split(".")
    for value in (lowest, highest):
        assert getattr(getattr(override(AppConfig(), {section: {name: value}}), section), name) == value
    for value, limit in ((lowest - 1, f"at least {lowest}"), (highest + 1, f"at most {highest}")):
        with pytest.raises(ConfigError, match=f"^{key}: expected {limit}, got {value}$"):
            override(AppConfig(), {section: {name: value}})


def test_no_number_lacks_bounds():
    numbers = {
        f"{section}.{name}"
        for section, values in dataclasses.asdict(AppConfig()).items()
        if isinstance(values, dict)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert numbers == {key for key, _, _ in BOUNDS}


def test_options_win_and_the_rest_stays():
    config = override(AppConfig(server=ServerConfig(token="t")), {"server": {"port": 1}, "camera": {"offset_ms": 5}})
    assert (config.server.port, config.server.token, config.camera.offset_ms) == (1, "t", 5.0)
    with pytest.raises(ConfigError, match="^server.prot: expected one of"):
        override(config, {"server": {"prot": 1}})


def test_settings_can_not_be_changed_or_built_wrong():
    with pytest.raises(dataclasses.FrozenInstanceError):
        AppConfig().presenters = "elsewhere"
    with pytest.raises(ValidationError, match="max_sessions"):
        dataclasses.replace(ServerConfig(), max_sessions=-1)


def test_missing_file_lists_presets():
    with pytest.raises(ConfigError, match="cpu, gpu, tiny"):
        load_config("nowhere.yaml")


def test_empty_file_is_all_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("")
    assert load_config(str(path)) == AppConfig()


def test_integers_are_fine_where_a_fraction_is_expected(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("camera: {offset_ms: 2}")
    assert load_config(str(path)).camera.offset_ms == 2.0
