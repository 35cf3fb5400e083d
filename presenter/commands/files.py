"""The verbs that work on files, from `render` to `presenters`; imports are local, so that `--help` is instant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presenter.commands.terminal import confirm_overwrite
from presenter.config import AppConfig
from presenter.errors import PresenterError

if TYPE_CHECKING:
    from presenter.runtime.output import Output

_OVERWRITE = "replace what is there; without it you are asked, or told"
_FILM = (
    "a name in .mp4, .mov or .webm; frames/ or frame_%%05d.png for pictures without sound; - for standard output (MP4)"
)


def add_parsers(verbs: Any) -> None:
    """Describe the verbs to argparse."""
    render = verbs.add_parser("render", help="render a recording to a film")
    render.add_argument("--audio", type=Path, help="any file with sound; not needed with --driving or --face")
    render.add_argument(
        "--audio-stream",
        type=int,
        metavar="N",
        help="which sound of it, counted from 1; else what players choose",
    )
    render.add_argument("--presenter", default="default", help="a presenter's name, or a photo or video of someone")
    render.add_argument("--video", type=Path, help="show this video instead, its mouth moved to follow the recording")
    render.add_argument(
        "--driving", type=Path, metavar="CLIP", help="a video of a person whose mouth moves the face, instead of sound"
    )
    render.add_argument(
        "--driving-parts", default="lips", metavar="PARTS",
        help="what of a presenter it moves: some of lips (default), brows, eyes, head, with commas between",
    )  # fmt: skip
    render.add_argument(
        "--face", metavar="NAME|PHOTO", help="the person in the video gets this face, labelled; needs recorded consent"
    )
    render.add_argument("--consent", metavar="NAME", default="", help="who agreed to the use of the photo of --face")
    _add_style(render)
    _add_framing(render)
    render.add_argument("--face-index", type=int, metavar="N", help="whose face of a video, counted from 0 by size")
    render.add_argument("--loop", action="store_true", help="play a video back and forth until the motion ends")
    render.add_argument("--out", required=True, help=_FILM)
    render.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    render.set_defaults(run=run_render)

    say = verbs.add_parser("say", help="speak a text into a film or a WAV (needs the extra [voice])")
    say.add_argument("text", help="what to say, in English; - reads it from standard input")
    say.add_argument("--presenter", default="default", help="a presenter's name, or a photo or video of someone")
    _add_style(say)
    _add_framing(say)
    say.add_argument("--out", default="say.mp4", help=f"{_FILM}; .wav for the sound alone")
    say.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    say.set_defaults(run=run_say)

    enroll = verbs.add_parser("enroll", help="make a presenter from a photo or a video")
    enroll.add_argument(
        "photo", type=Path, metavar="PHOTO|VIDEO",
        help="one frontal face, well lit: JPEG, PNG, WebP or AVIF; or 10 to 60 s of one person: MP4, MOV, WebM or MKV",
    )  # fmt: skip
    enroll.add_argument(
        "--personalize", action="store_true", help="learn the mouth of the person in the video: up to ten minutes"
    )
    enroll.add_argument(
        "--face", type=int, metavar="N", help="which of several faces in the photo, counted from the left from 1"
    )
    enroll.add_argument("--name", required=True, help="what to call the presenter")
    enroll.add_argument("--consent", metavar="NAME", default="", help="who agreed to be shown; kept with the presenter")
    enroll.set_defaults(run=run_enroll)

    learn = verbs.add_parser("personalize", help="learn the mouth of a presenter from the frames kept of its video")
    learn.add_argument("name", help="a presenter that was enrolled from a video")
    learn.add_argument("--sheet", metavar="FILE.jpg", help="write mouths as filmed, before and after")
    learn.set_defaults(run=run_personalize)

    style = verbs.add_parser("style", help="keep how the person in a video moves the mouth, as a speaking style")
    style.add_argument("clip", type=Path, help="a video of a person who talks, a few seconds to a minute")
    style.add_argument("--name", required=True, help="what to call the style")
    style.set_defaults(run=run_style)

    styles = verbs.add_parser("styles", help="list or delete speaking styles")
    styles.set_defaults(run=run_styles, what="list")
    which = styles.add_subparsers(dest="what", metavar="WHAT")
    which.add_parser("list", help="all of them (default)")
    which.add_parser("delete", help="remove one for good").add_argument("name", help="its name")

    presenters = verbs.add_parser("presenters", help="list, show, rename, export, import or delete presenters")
    presenters.set_defaults(run=run_presenters, what="list", json=False)
    what = presenters.add_subparsers(dest="what", metavar="WHAT")
    listing = what.add_parser("list", help="all of them, the damaged too (default)")
    show = what.add_parser("show", help="one of them: where it lies, who consented")
    rename = what.add_parser("rename", help="give one another name")
    delete = what.add_parser("delete", help="remove one for good")
    export = what.add_parser("export", help="write one to a ZIP")
    bring = what.add_parser("import", help="take one from a ZIP that export wrote")
    for parser in (show, rename, delete, export):
        parser.add_argument("name", help="its name")
    rename.add_argument("new_name", help="its name from now on")
    delete.add_argument("--yes", action="store_true", help="don't ask")
    export.add_argument("--out", help="the ZIP to write (NAME.zip)")
    export.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    bring.add_argument("file", type=Path, help="the ZIP")
    bring.add_argument("--name", help="what to call it, instead of its own name")
    for parser in (listing, show):
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_style(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--style", help="a speaking style by its name, or a video of whose speaker it is")
    parser.add_argument(
        "--style-strength", type=float, default=1.0, metavar="X", help="0 (neutral) to 1.5 (exaggerated), 1 by default"
    )


def _add_framing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", default="own", help="photo, square, 720p, 1080p, portrait or WIDTHxHEIGHT; or 512²")
    parser.add_argument("--framing", default="medium", help="how near: wide, medium (default) or close")
    parser.add_argument(
        "--background", default="own",
        help="own (default), blur, a colour such as #204060, an image, or transparent (.mov, .webm or pictures)",
    )  # fmt: skip


def run_render(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Render a recording."""
    from presenter import api

    try:
        done = _render(api, arguments)
    except KeyboardInterrupt:
        if arguments.video is not None:
            print("\nInterrupted: the same command continues.", file=sys.stderr)
        raise
    _report(done, done.out)
    return 0


def _render(api: Any, arguments: argparse.Namespace) -> Any:
    return api.render(
        arguments.audio,
        arguments.out,
        presenter=arguments.presenter,
        video=arguments.video,
        driving=arguments.driving,
        driving_parts=arguments.driving_parts,
        style=arguments.style,
        style_strength=arguments.style_strength,
        size=arguments.size,
        framing=arguments.framing,
        background=arguments.background,
        face=arguments.face,
        consent_by=arguments.consent,
        face_index=arguments.face_index,
        loop=arguments.loop,
        audio_stream=arguments.audio_stream,
        overwrite=arguments.overwrite,
        config=arguments.config,
        confirm=confirm_overwrite,
    )


def run_say(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Speak a text."""
    from presenter import api

    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    done = api.say(
        text,
        arguments.out,
        presenter=arguments.presenter,
        style=arguments.style,
        style_strength=arguments.style_strength,
        size=arguments.size,
        framing=arguments.framing,
        background=arguments.background,
        overwrite=arguments.overwrite,
        config=arguments.config,
        confirm=confirm_overwrite,
    )
    _report(done, done.out)
    return 0


def _report(done: object, out: Output) -> None:
    print(done, file=sys.stdout if out.path else sys.stderr)


def run_enroll(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Make a presenter from a photo or a video."""
    from presenter import api

    name = api.enroll(
        arguments.photo,
        arguments.name,
        consent_by=arguments.consent,
        face=arguments.face,
        personalise=arguments.personalize,
        config=arguments.config,
        progress=_print_progress,
    )
    print(f"{name} is ready: presenter render --presenter {name!r} …, or choose it on the page")
    if not arguments.consent.strip():
        print("Nobody's consent is recorded; --consent NAME does so.", file=sys.stderr)
    return 0


def run_personalize(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Learn a presenter's mouth."""
    from presenter import api

    done = api.personalise(arguments.name, sheet=arguments.sheet, config=arguments.config, progress=_print_progress)
    print(f"{arguments.name} is better now" if done.better else f"{arguments.name} stays as it was")
    return 0


def _print_progress(fraction: float, message: str) -> None:
    print(f"{fraction:4.0%} {message}", flush=True)


def run_style(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Keep the speaking style of a video."""
    from presenter import api

    name = api.make_style(arguments.clip, arguments.name, config=arguments.config)
    print(f"{name} is ready: presenter render --style {name!r} …")
    return 0


def run_styles(config: AppConfig, arguments: argparse.Namespace) -> int:
    """List or delete speaking styles."""
    from presenter.runtime.styles import StyleStore

    store = StyleStore(config.presenters_dir)
    if arguments.what == "delete":
        store.delete(arguments.name)
        print(f"{arguments.name} is deleted")
        return 0
    for name in store.names():
        print(f"{name}: of {store.load(name).clip}")
    return 0


def run_presenters(config: AppConfig, arguments: argparse.Namespace) -> int:
    """List, show, rename, export, import or delete presenters."""
    from presenter.commands.presenters import run

    if arguments.what is None:
        arguments.what = "list"
    try:
        return run(config, arguments)
    except FileNotFoundError as error:
        raise PresenterError(f"{error.filename}: there is no such file; check the name") from error
