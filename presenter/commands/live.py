"""The verbs that work live or measure; imports are local, so that `--help` is instant."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import sys
from typing import Any

from presenter.commands.report import print_report
from presenter.config import AppConfig
from presenter.errors import ConfigError, PresenterError
from presenter.recipe.steps import run_step


def serve(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Start the server and run until interrupted."""
    from presenter.runtime.engine import Engine
    from presenter.runtime.identities import IdentityStore
    from presenter.server.app import check_server, create_app, serve_forever
    from presenter.server.capacity import sessions_that_fit
    from presenter.server.memory import collect_in_short_pieces
    from presenter.server.tls import tls_context

    server = config.server
    check_server(server)  # before the networks are loaded
    engine, store = Engine.load(config), IdentityStore(config.presenters_dir)
    engine.reserve(server.max_sessions or sessions_that_fit(engine, store))
    app = create_app(engine, store, config)

    def ready(url: str) -> None:
        collect_in_short_pieces()
        print(f"Presenter is ready: open {url} and speak. Ctrl+C stops it.", flush=True)

    asyncio.run(serve_forever(app, server.host, server.port, ready, tls_context(server)))
    return 0


def camera(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Be the camera and the microphone of a meeting until `q`."""
    from presenter.meeting.terminal import attend

    if config.camera.face and arguments.presenter is not None:
        raise ConfigError("--face shows you with that face; leave out --presenter")
    asyncio.run(attend(config, arguments.presenter or "default"))
    return 0


def devices(config: AppConfig, arguments: argparse.Namespace) -> int:
    """List microphones, outputs and cameras."""
    from stream.camera.drivers import list_cameras
    from stream.camera.webcam import list_webcams
    from stream.sound.devices import list_devices

    sound = list_devices()
    found: dict[str, list[tuple[Any, str]]] = {
        "microphones": [(dataclasses.asdict(one), str(one)) for one in sound if one.kind == "input"],
        "outputs": [(dataclasses.asdict(one), str(one)) for one in sound if one.kind == "output"],
        "virtual cameras": [(dataclasses.asdict(one), f"{one.device}: {one.name}") for one in list_cameras()],
        "webcams": [({"number": number, "name": name}, f"{number}: {name}") for number, name in list_webcams()],
    }
    if arguments.json:
        print(json.dumps({kind: [data for data, _ in rows] for kind, rows in found.items()}, indent=1))
        return 0
    options = dict(zip(found, ("--microphone", "--voice", "--camera", "--webcam"), strict=True))
    for kind, rows in found.items():
        print(f"{kind} ({options[kind]})", *(f"  {line}" for _, line in rows or [(None, "none")]), sep="\n")
    return 0


def train(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Run one step of the training recipe."""
    try:
        run_step(arguments.step, arguments.rest)
    except ModuleNotFoundError as error:
        raise PresenterError(f"training needs the extra [train] ({error}): pip install 'presenter[train]'") from error
    except ValueError as error:
        raise PresenterError(str(error)) from error
    return 0


def evaluate(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Measure sync and picture, styles or face swap on clips."""
    from presenter.recipe.evaluate import evaluate_clips, find_clips

    if arguments.styles:
        from presenter.recipe.evaluate_styles import evaluate_styles

        report = evaluate_styles(config, find_clips(arguments.clips, arguments.limit))
    elif arguments.faces is not None:
        from presenter.recipe.evaluate_swap import evaluate_swaps

        report = evaluate_swaps(config, find_clips(arguments.clips, arguments.limit), arguments.faces)
    else:
        report = evaluate_clips(config, arguments.clips, tuple(arguments.unseen), arguments.limit, arguments.plot)
    print_report(report, arguments.json)
    return 0


def contact_sheet(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Render sheets of speaking mouths and measure them."""
    from presenter.recipe.contact_sheet import contact_sheet

    def note(line: str) -> None:
        print(line, file=sys.stderr)

    report = contact_sheet(config, arguments.pictures, arguments.speech, arguments.out, note, varied=arguments.variants)
    (arguments.out / "figures.json").write_text(json.dumps(report, indent=1))
    if not arguments.json:
        report.pop("pictures")
    print_report(report, arguments.json)
    return 0


BENCHES = (
    "live: processor time per stage and beside other networks;"
    " sessions: start-up, memory, rate and cost of several that speak;"
    " voice: first frame, interruption, viewers and sync of a voice bot's face;"
    " camera: delay, skew and drift of a meeting's camera and microphone;"
    " swap: processor time per webcam picture of a face swapped live"
)


def bench(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Time the live path, or what a voice bot or a meeting gets of it."""
    logging.getLogger("stream").setLevel(logging.WARNING)  # fifty viewers come and go
    if arguments.what == "voice":
        from presenter.bench.voice_bot import run_voice_bench

        report = run_voice_bench(arguments.seconds or 60.0, arguments.viewers)
    elif arguments.what == "camera":
        from presenter.bench.camera import run_camera_bench

        report = run_camera_bench(config, arguments.seconds or 60.0)
    elif arguments.what == "swap":
        from presenter.bench.swap import run_swap_bench

        report = run_swap_bench(config, arguments.seconds or 10.0)
    elif arguments.what == "sessions":
        from presenter.bench.sessions import run_sessions_bench

        report = run_sessions_bench(arguments.sessions, arguments.seconds or 60.0)
    else:
        from presenter.bench.live_path import run_bench
        from presenter.bench.plot import save_plot

        seconds = 20.0 if arguments.seconds is None else arguments.seconds
        report = run_bench(config, seconds, peers=arguments.peers)
        if arguments.plot is not None:
            save_plot(report, arguments.plot)
    print_report(report, arguments.json)
    return 0


def doctor(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Check the machine; the exit status is 1 when something fails that is not optional."""
    from presenter.doctor import check_machine

    checks = check_machine(config)
    if arguments.json:
        print(json.dumps([vars(check) for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{check.mark:<4} {check.name}: {check.message}")
    return 0 if all(check.ok or check.optional for check in checks) else 1
