"""The command line: `presenter COMMAND`."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from models.errors import ModelError
from presenter.commands import files, live
from presenter.config import AppConfig, load_config, override
from presenter.errors import PresenterError
from presenter.recipe.steps import STEPS, OneLineParser
from stream.errors import StreamError

_BROKEN_PIPE = 141  # what shells show for it; Windows has no such signal to ask


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may hold what the terminal can't show
    with _terminable():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("aioice", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        config = _override(load_config(arguments.config), arguments)
        status: int = arguments.run(config, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError, ValueError):  # whoever read the output has gone, and Python flushes once more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (PresenterError, StreamError, ModelError, OSError) as error:
        print(f"presenter: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind what runs, so that nothing half-done stays behind; asyncio's own handlers go first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the tidying
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_line(error: Exception) -> str:
    """Return what an error says, its lines joined."""
    lines = [" ".join(line.split()) for line in (str(error) or type(error).__name__).splitlines()]
    return " ".join(line if line.endswith((":", ";", ".", ",")) else f"{line};" for line in lines if line).rstrip(";")


def _override(config: AppConfig, arguments: argparse.Namespace) -> AppConfig:
    """Command-line options win over the file; each is named after the section and the key that it sets."""
    given: dict[str, dict[str, Any]] = {"server": {}, "camera": {}}
    for key, value in vars(arguments).items():
        section, _, name = key.partition(".")
        if section in given and value is not None:
            given[section][name] = value
    return override(config, given)


def _integer(text: str) -> int:
    """An option's value; whether it is within its bounds is for the configuration to say."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an integer, got {text[:60]!r}") from None


def _sessions(text: str) -> int | str:
    return text if text == "auto" else _integer(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text[:60]!r}") from None


def _count(text: str) -> int:
    if (count := _integer(text)) < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, got {count}")
    return count


def _seconds(text: str) -> float:
    if not 1 <= (seconds := _number(text)) <= 86_400:
        raise argparse.ArgumentTypeError(f"expected 1 to 86400 seconds, got {text[:60]}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="presenter", description="Turns live speech into a live, lip-synced face.")
    config_help = "a preset (cpu, gpu, tiny) or a YAML file; before or after the command"
    parser.add_argument("--config", default="cpu", help=config_help)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = verbs.add_parser("serve", help="start the server; open the page and speak")
    serve.add_argument(
        "--host", dest="server.host", metavar="HOST", help="address to bind; anything but loopback needs --token"
    )
    serve.add_argument("--port", dest="server.port", metavar="PORT", type=_integer, help="TCP port (default 8080)")
    serve.add_argument("--tls-cert", dest="server.tls_cert", metavar="PEM", help="certificate chain: serve https")
    serve.add_argument("--tls-key", dest="server.tls_key", metavar="PEM", help="key of that certificate")
    serve.add_argument("--token", dest="server.token", metavar="TOKEN", help="bearer token that clients must send")
    serve.add_argument(
        "--max-sessions",
        dest="server.max_sessions",
        metavar="N",
        type=_sessions,
        help="live streams at a time (default auto: as many as are measured to fit)",
    )
    serve.set_defaults(run=live.serve)

    _add_camera(verbs.add_parser("camera", help="be the webcam and the microphone of a meeting"))

    devices = verbs.add_parser("devices", help="list microphones, sound outputs and cameras")
    devices.add_argument("--json", action="store_true", help="print JSON instead of a table")
    devices.set_defaults(run=live.devices)

    files.add_parsers(verbs)

    train = verbs.add_parser("train", help="prepare data and train the networks (needs the extra [train])")
    train.add_argument("step", choices=tuple(STEPS), help="which step of the recipe, in this order")
    train.add_argument("rest", nargs=argparse.REMAINDER, help="options of the step; STEP --help lists them")
    train.set_defaults(run=live.train)

    evaluate = verbs.add_parser("evaluate", help="measure sync and picture on clips with sound")
    evaluate.add_argument("--clips", type=Path, required=True, help="folder of video clips, searched recursively")
    evaluate.add_argument("--unseen", nargs="*", default=[], help="sub-folders whose speakers were never trained on")
    evaluate.add_argument("--limit", type=_count, default=0, help="most clips to use, 0 for all")
    evaluate.add_argument("--styles", action="store_true", help="measure speaking styles instead; a speaker per clip")
    evaluate.add_argument("--faces", type=Path, metavar="FOLDER", help="measure face swap instead, with these photos")
    evaluate.add_argument("--plot", type=Path, help="PNG to draw the apertures into")
    evaluate.add_argument("--json", action="store_true", help="print JSON instead of a table")
    evaluate.set_defaults(run=live.evaluate)

    sheet = verbs.add_parser(
        "contact-sheet", help="render sheets of speaking mouths, blinks and heads to look at, and measure them"
    )
    sheet.add_argument("pictures", nargs="+", metavar="PICTURE", help="a photo, or a presenter's name")
    sheet.add_argument("--speech", type=Path, required=True, help="a recording; every picture speaks it")
    sheet.add_argument("--out", type=Path, default=Path("sheets"), help="folder for the sheets and figures.json")
    sheet.add_argument(
        "--variants",
        action="store_true",
        help="each also in other light, as a drawing, with a beard, and so on",
    )
    sheet.add_argument("--json", action="store_true", help="print JSON instead of a table, with each picture's figures")
    sheet.set_defaults(run=live.contact_sheet)

    bench = verbs.add_parser("bench", help="time the live path, a voice bot's or a meeting's, on this machine")
    bench.add_argument(
        "what", nargs="?", choices=("live", "sessions", "voice", "camera", "swap"), default="live", help=live.BENCHES
    )
    bench.add_argument(
        "--seconds",
        type=_seconds,
        help="live: of speech (20); sessions: how long they speak (60); voice, camera: how long sync is measured (60);"
        " swap: of pictures (10)",
    )
    bench.add_argument("--peers", action="store_true", help="live: beside a MuseTalk-sized network too (2 min, 4 GB)")
    bench.add_argument("--plot", type=Path, metavar="PNG", help="live: write the milliseconds as a bar chart")
    bench.add_argument("--sessions", type=_count, default=2, help="sessions: how many speak at a time (2)")
    bench.add_argument("--viewers", type=_count, default=50, help="voice: how many watch at a time")
    bench.add_argument("--json", action="store_true", help="print JSON instead of a table")
    bench.set_defaults(run=live.bench)

    doctor = verbs.add_parser("doctor", help="check that everything needed is here")
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    doctor.set_defaults(run=live.doctor)
    for verb in verbs.choices.values():
        verb.add_argument("--config", default=argparse.SUPPRESS, help=config_help)
    return parser


def _add_camera(camera: argparse.ArgumentParser) -> None:
    options: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("--microphone", "microphone", {"help": "what to hear: a name, part of it, or a number (presenter devices)"}),
        ("--voice", "voice", {"help": "where the delayed voice goes: a device, auto (default) or off"}),
        ("--camera", "device", {"help": "which virtual camera"}),
        ("--size", "size", {"help": "720p (default) or 1080p"}),
        ("--background", "background", {"help": "own (default), blur, a colour such as #204060, or an image"}),
        ("--place", "place", {"help": "where the presenter stands: left, centre (default) or right"}),
        ("--webcam", "webcam", {"nargs": "?", "const": "0", "help": "follow you: the number of a camera (0)"}),
        ("--mouth", "mouth", {"help": "what moves the lips: sound (default) or webcam"}),
        ("--face", "face", {"help": "your own webcam picture with this presenter's or photo's face; needs consent"}),
        ("--consent", "consent", {"help": "who agreed to the use of the photo of --face"}),
        ("--style", "style", {"help": "a speaking style by its name (presenter styles)"}),
        ("--style-strength", "style_strength", {"type": _number, "help": "0 (neutral) to 1.5 (exaggerated)"}),
        ("--gate", "gate_dbfs", {"type": _number, "help": "silence what is below this level, such as -45 (dBFS)"}),
        ("--offset", "offset_ms", {"type": _number, "help": "let the picture leave this many ms after its voice"}),
    )
    camera.add_argument("--presenter", help="a presenter's name")
    for name, key, how in options:
        camera.add_argument(name, dest=f"camera.{key}", metavar=name[2:].upper(), **how)
    camera.set_defaults(run=live.camera)
