"""Configuration: YAML files read into frozen, typed objects.

An unknown key, a value of the wrong type or one out of its bounds is an error that names the key and says what was
expected, so that a typing mistake never silently runs with a default.

These are pydantic's dataclasses and not its models, so that `dataclasses.replace` checks a changed setting as well;
`model_copy` would not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from presenter.errors import ConfigError, first_mistake

_PRESETS = Path(__file__).resolve().parents[1] / "configs"  # beside this package, installed or not
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

_Whole = Annotated[int, Field(strict=True)]  # not "8080", 8080.0 or true
_Number = Annotated[float, Field(strict=True)]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class ServerConfig:
    """The HTTP side.

    Attributes:
        host: Address to bind; anything but loopback requires `token`.
        port: TCP port; 0 for any free one.
        tls_cert: PEM file of the certificate, with its chain, for https without a reverse proxy; empty for http.
        tls_key: PEM file of its key, without a password.
        token: Bearer token that every request must carry; empty for none.
        token_key: What scoped tokens (`POST /api/tokens`) are signed with, at least 32 characters; empty for a key
            that is derived from `token`.
        watch_needs_token: Whether viewers need a token as well; otherwise who knows a session's id may watch it.
        max_sessions: Live streams at a time; `auto` or 0 for as many as this machine was measured to render in full
            quality.
        max_bots: Speech sockets of one session at a time.
        max_publications: WHIP publications of one session at a time; 0 for none.
        max_viewers: Viewers of one session at a time.
        whip_targets: Where sessions may be published: `HOST`, `HOST:PORT` or beginnings of URLs; none by default. A
            private address must be listed itself.
        requests_per_minute: Sessions and viewers that one address may ask for, a minute's worth at once; 0 for any.
        limit_loopback: Whether that holds for this machine's own address as well, from which a reverse proxy asks.
        max_speech_s: Speech that one session buffers, in seconds, when a bot sends it faster than it is said.
        max_upload_mb: Largest photo that can be uploaded.
        max_video_mb: Largest video or recording that can be uploaded.
        public_origin: `https://host` of the page behind a reverse proxy that changes the Host header; else empty.
        ice_servers: STUN and TURN URLs for servers behind NAT; none are needed on a machine with its own address.
        ice_username: For TURN. WHEP answers name the servers in `Link` headers, with this and `ice_credential`.
        ice_credential: For TURN.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[_Whole, Field(ge=0, le=65535)] = 8080
    tls_cert: str = ""
    tls_key: str = ""
    token: str = ""
    token_key: Annotated[str, Field(pattern=r"^(.{32,})?$")] = ""
    watch_needs_token: Annotated[bool, Field(strict=True)] = False
    max_sessions: Annotated[
        _Whole, Field(ge=0, le=1000), BeforeValidator(lambda value: 0 if value == "auto" else value)
    ] = 0
    max_bots: Annotated[_Whole, Field(ge=1, le=1000)] = 8
    max_publications: Annotated[_Whole, Field(ge=0, le=100)] = 4
    max_viewers: Annotated[_Whole, Field(ge=1, le=10_000)] = 100
    whip_targets: tuple[str, ...] = ()
    requests_per_minute: Annotated[_Whole, Field(ge=0, le=100_000)] = 60
    limit_loopback: Annotated[bool, Field(strict=True)] = False
    max_speech_s: Annotated[_Whole, Field(ge=1, le=3600)] = 300
    max_upload_mb: Annotated[_Whole, Field(ge=1, le=1000)] = 20
    max_video_mb: Annotated[_Whole, Field(ge=1, le=100_000)] = 500
    public_origin: str = ""
    ice_servers: tuple[str, ...] = ()
    ice_username: str = ""
    ice_credential: str = ""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class EngineConfig:
    """The networks.

    Attributes:
        device: `cpu` or `cuda`.
        threads: Threads per operation on a CPU.
        backend: How the generator is computed on a CPU: `float32`, `winograd`, `bfloat16`, `int8`, or `auto` for the
            fastest one here, measured once.
        syncformer: Checkpoint of the audio-to-motion model; empty means the one that ships.
        generator: Checkpoint of the base generator; empty means the one that ships.
        head_motion: How far speech moves the head while nobody else does, 0 (not at all) to 1.
        personalise_s: Seconds of computing that a personalisation learns for at the most; with the default, enrolling
            and personalising take ten minutes on two free cores.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[_Whole, Field(ge=1, le=1024)] = 1
    backend: Literal["auto", "float32", "winograd", "bfloat16", "int8"] = "auto"
    syncformer: str = ""
    generator: str = ""
    head_motion: Annotated[_Number, Field(ge=0, le=1)] = 0.5
    personalise_s: Annotated[_Number, Field(ge=1, le=86_400)] = 420.0

    @field_validator("backend")
    @classmethod
    def _check_backend(cls, value: str, info: ValidationInfo) -> str:
        if value not in ("auto", "float32") and info.data.get("device") == "cuda":
            raise PydanticCustomError("backend", "expected 'auto' or 'float32' on cuda")
        return value


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class CameraConfig:
    """`presenter camera`: devices by their names, by unique parts of them, or by number.

    Attributes:
        microphone: What is said; empty for the system's default.
        voice: Where the delayed voice goes; `auto` for the virtual microphone, which is made where the system lets us,
            `off` for none.
        device: The virtual camera; empty for the first.
        size: `720p` or `1080p`.
        background: `own`, `blur`, a colour, or an image.
        place: Where the presenter stands: `left`, `centre` or `right`.
        webcam: The camera that watches the user: its number or a video file; empty for none, or the first with `face`.
        mouth: What moves the lips: `sound`, or `webcam`, with the sound's where the user is not seen.
        face: Whose face the user gets in the webcam's own picture: a presenter's name or a photo; empty for a presenter
            instead of the user.
        consent: Who agreed to the use of that photo; presenters have their own record.
        style: A speaking style by its name; empty for each presenter's own.
        style_strength: 0 (neutral) to 1.5.
        gate_dbfs: Sound below this level is silenced; 0 for no gate.
        offset_ms: How much later than its voice the picture leaves, for programs that delay one of them.
    """

    microphone: str = ""
    voice: str = "auto"
    device: str = ""
    size: Literal["720p", "1080p"] = "720p"
    background: str = "own"
    place: Literal["left", "centre", "right"] = "centre"
    webcam: str = ""
    mouth: Literal["sound", "webcam"] = "sound"
    face: str = ""
    consent: str = ""
    style: str = ""
    style_strength: Annotated[_Number, Field(ge=0, le=1.5)] = 1.0
    gate_dbfs: Annotated[_Number, Field(ge=-90, le=0)] = 0.0
    offset_ms: Annotated[_Number, Field(ge=-500, le=500)] = 0.0


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class AppConfig:
    """Everything that a preset file can set.

    Attributes:
        server: The HTTP side.
        engine: The networks.
        camera: The way into meetings.
        presenters: Folder for presenters that users enrol; `~` is the home folder.
    """

    server: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    camera: CameraConfig = dataclasses.field(default_factory=CameraConfig)
    presenters: Annotated[str, Field(min_length=1)] = "~/.local/share/presenter"

    @property
    def presenters_dir(self) -> Path:
        """`presenters` as a path."""
        return Path(self.presenters).expanduser()


_APP = TypeAdapter(AppConfig)


def presets() -> list[str]:
    """Names of the configurations that ship."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_config(source: str = "cpu") -> AppConfig:
    """Read a preset by name or a YAML file by path.

    Raises:
        ConfigError: If there is no such preset or file, or a key or value is wrong.
    """
    if source in presets():
        text = _read(_PRESETS / f"{source}.yaml")
    elif Path(source).is_file():
        text = _read(Path(source))
    else:
        raise ConfigError(f"expected a preset ({', '.join(presets())}) or a YAML file, found no {source!r}")
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a date of month 13
        raise ConfigError(f"{source}: expected valid YAML: {error}") from error
    return _validated({} if data is None else data, f"{source}: ")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a readable UTF-8 file: {error}") from error


def override(config: AppConfig, given: Mapping[str, Mapping[str, Any]]) -> AppConfig:
    """Return `config` with other values for some keys, by section.

    Raises:
        ConfigError: If a key or value is wrong, as in a file.
    """
    data = dataclasses.asdict(config)
    for section, values in given.items():
        data[section] |= values
    return _validated(data, "")


def _validated(data: Any, where: str) -> AppConfig:
    try:
        return _APP.validate_python(data)
    except ValidationError as error:
        raise ConfigError(f"{where}{first_mistake(error, AppConfig)}") from error
