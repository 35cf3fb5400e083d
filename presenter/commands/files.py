"""The verbs that work on files, from `render` to `presenters`; imports are local, so that `--help` is instant."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presenter.config import AppConfig
from presenter.errors import PresenterError

if TYPE_CHECKING:
    from presenter.runtime.output import Output
    from stream.files.reader import Recording

_OVERWRITE = "replace what is there; without it you are asked, or told"
_FILM = (
    "a name in .mp4, .mov or .webm; frames/ or frame_%%05d.png for pictures without sound; - for standard output (MP4)"
)


def add_parsers(verbs: Any) -> None:
    """Describe the verbs to argparse."""
    render = verbs.add_parser("render", help="render a recording to a film")
    render.add_argument("--audio", type=Path, required=True, help="any file with sound")
    render.add_argument(
        "--audio-stream",
        type=int,
        metavar="N",
        help="which sound of it, counted from 1; else what players choose",
    )
    render.add_argument("--presenter", default="default", help="a presenter's name, or a photo or film of someone")
    render.add_argument("--video", type=Path, help="show this video instead, its mouth moved to follow the recording")
    render.add_argument("--face-index", type=int, metavar="N", help="whose face of a video, counted from 0 by size")
    render.add_argument("--loop", action="store_true", help="play a video back and forth until the recording ends")
    render.add_argument("--out", required=True, help=_FILM)
    render.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    render.set_defaults(run=run_render)

    say = verbs.add_parser("say", help="speak a text into a film or a WAV (needs the extra [voice])")
    say.add_argument("text", help="what to say, in English; - reads it from standard input")
    say.add_argument("--presenter", default="default", help="a presenter's name, or a photo or film of someone")
    say.add_argument("--out", default="say.mp4", help=f"{_FILM}; .wav for the sound alone")
    say.add_argument("--overwrite", action="store_true", help=_OVERWRITE)
    say.set_defaults(run=run_say)

    enroll = verbs.add_parser("enroll", help="make a presenter from a photo or a film")
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


def _inputs(arguments: argparse.Namespace, *others: Path) -> list[Path]:
    """Files that a command reads; a name that is none is ignored."""
    return [*others, Path(arguments.presenter), Path(arguments.config)]


def run_render(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Render a recording."""
    from presenter.runtime.output import prepare_output
    from stream.files.reader import Recording

    read = [arguments.audio] if arguments.video is None else [arguments.audio, arguments.video]
    out = prepare_output(arguments.out, _inputs(arguments, *read), overwrite=arguments.overwrite)
    recording = Recording(arguments.audio, stream=arguments.audio_stream)
    if arguments.video is not None:
        return _resync(config, arguments, recording, out)

    from presenter.enroll.enrolment import find_presenter  # slow to import: what is wrong with the files is said first
    from presenter.runtime.offline import render_audio

    count = render_audio(config, recording, find_presenter(config, arguments.presenter), out)
    print(f"{out}: {count} frames", file=sys.stdout if out.path else sys.stderr)
    return 0


def _resync(config: AppConfig, arguments: argparse.Namespace, recording: Recording, out: Output) -> int:
    """Render a recording to the face in a video."""
    from presenter.video.resync import resync_video
    from stream.files.movie import MOVIE_SUFFIXES

    if out.path is None or out.path.suffix.lower() not in MOVIE_SUFFIXES:
        raise PresenterError(f"{out}: with --video, expected a name in {', '.join(MOVIE_SUFFIXES)}")
    if arguments.face_index is not None and arguments.face_index < 0:
        raise PresenterError(f"--face-index: expected 0 or more, got {arguments.face_index}")
    summary = resync_video(
        config, arguments.video, recording, out.path,
        face_index=arguments.face_index, loop=arguments.loop, overwrite=out.overwrite,
    )  # fmt: skip
    print(f"{out}: {summary}")
    return 0


def run_say(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Speak a text."""
    from presenter.runtime.output import prepare_output
    from presenter.tts.say import SOUND_SUFFIX, say_file

    out = prepare_output(arguments.out, _inputs(arguments), overwrite=arguments.overwrite, others=(SOUND_SUFFIX,))
    text = sys.stdin.read() if arguments.text == "-" else arguments.text
    seconds = say_file(config, text, arguments.presenter, out)
    print(f"{out}: {seconds:.1f} s of speech", file=sys.stdout if out.path else sys.stderr)
    return 0


def run_enroll(config: AppConfig, arguments: argparse.Namespace) -> int:
    """Make a presenter from a photo or a film."""
    from presenter.enroll.enrolment import can_continue, enroll_presenter
    from presenter.runtime.identities import IdentityStore
    from presenter.runtime.names import check_name

    store = IdentityStore(config.presenters_dir)
    taken = store.taken_names()
    if arguments.personalize and can_continue(store, arguments.name, arguments.photo):
        taken.discard(arguments.name)
    name = check_name(arguments.name, taken)

    def progress(fraction: float, message: str) -> None:
        print(f"{fraction:4.0%} {message}", flush=True)

    def warn(doubt: str) -> None:
        print(f"Warning: {doubt}", file=sys.stderr)

    enroll_presenter(
        store,
        config.engine,
        arguments.photo,
        name,
        progress,
        consent_by=arguments.consent,
        face=arguments.face,
        personalise=arguments.personalize,
        warn=warn,
    )
    print(f"{name} is ready: presenter render --presenter {name!r} …, or choose it on the page")
    if not arguments.consent.strip():
        print("Nobody's consent is recorded; --consent NAME does so.", file=sys.stderr)
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
