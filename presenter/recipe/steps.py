"""The training recipe, step by step: `presenter train STEP [options]`.

Each step's settings are a frozen dataclass whose fields are its options.
"""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class DataFolders:
    """Where the corpora are and where prepared data goes."""

    data: Path
    cache: Path = Path("cache")
    workers: int = 2


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong option in one line, as every other error of the command line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"presenter: {' '.join(message.split())}; see {self.prog} --help\n")


def parse_settings(kind: type[T], step: str, arguments: Sequence[str]) -> T:
    """Read a dataclass of strings, numbers, booleans, paths and tuples of strings from options."""
    parser = OneLineParser(prog=f"presenter train {step}", description=kind.__doc__)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        flag, hint = "--" + field.name.replace("_", "-"), hints[field.name]
        required = field.default is dataclasses.MISSING
        if hint is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default)
        elif typing.get_origin(hint) is tuple:
            parser.add_argument(flag, nargs="*", default=field.default)
        else:
            plain = next(t for t in (typing.get_args(hint) or (hint,)) if t is not type(None))
            parser.add_argument(flag, type=plain, required=required, default=None if required else field.default)
    values = vars(parser.parse_args(arguments))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _tracks(arguments: Sequence[str]) -> None:
    from presenter.recipe.prepare import prepare_tracks

    folders = parse_settings(DataFolders, "tracks", arguments)
    for clip, reason in prepare_tracks(folders.data, folders.cache / "tracks", folders.workers).items():
        print(f"dropped {clip}: {reason}")


def _crops(arguments: Sequence[str]) -> None:
    from presenter.recipe.prepare_crops import prepare_crops

    folders = parse_settings(DataFolders, "crops", arguments)
    print(f"{prepare_crops(folders.data, folders.cache / 'tracks', folders.cache / 'crops')} crops")


def _jaw(arguments: Sequence[str]) -> None:
    from presenter.recipe.jaw import JawFit, add_jaw

    print(f"fitted to {add_jaw(parse_settings(JawFit, 'jaw', arguments))} clips")


def _interior(arguments: Sequence[str]) -> None:
    from presenter.recipe.mouth_interior import InteriorReliefs, build_interior

    build_interior(parse_settings(InteriorReliefs, "interior", arguments))


def _generator(arguments: Sequence[str]) -> None:
    from models.training.generator import GeneratorTraining, train_generator

    train_generator(parse_settings(GeneratorTraining, "generator", arguments))


def _shipped_poses(arguments: Sequence[str]) -> None:
    from presenter.recipe.shipped_poses import ShippedPoses, choose_poses

    choose_poses(parse_settings(ShippedPoses, "shipped-poses", arguments))


def _shipped(arguments: Sequence[str]) -> None:
    from presenter.recipe.shipped_presenter import ShippedPresenter, build_shipped

    build_shipped(parse_settings(ShippedPresenter, "shipped", arguments))


def _shipped_pictures(arguments: Sequence[str]) -> None:
    from presenter.recipe.shipped_pictures import ShippedPictures, replace_pictures

    replace_pictures(parse_settings(ShippedPictures, "shipped-pictures", arguments))


def _loop(arguments: Sequence[str]) -> None:
    from presenter.recipe.loop import Loop, make_loop

    print(f"{make_loop(parse_settings(Loop, 'loop', arguments))} frames")


def _occlusion(arguments: Sequence[str]) -> None:
    from models.training.occlusion import train_occlusion
    from presenter.recipe.occlusion_faces import OcclusionRecipe, prepare_faces

    recipe = parse_settings(OcclusionRecipe, "occlusion", arguments)
    prepare_faces(recipe.data, recipe.faces)
    train_occlusion(recipe)


def _occlusion_report(arguments: Sequence[str]) -> None:
    from presenter.recipe.occlusion_report import OcclusionReport, occlusion_report

    print("\n".join(occlusion_report(parse_settings(OcclusionReport, "occlusion-report", arguments))))


def _with_own_options(module: str) -> Callable[[Sequence[str]], None]:
    def run(arguments: Sequence[str]) -> None:
        import importlib

        step: Any = importlib.import_module(f"models.training.{module}")
        step.main(list(arguments))

    return run


STEPS: dict[str, Callable[[Sequence[str]], None]] = {
    "tracks": _tracks,
    "crops": _crops,
    "audio-corpus": _with_own_options("audio_corpus"),
    "labels": _with_own_options("motion_labels"),
    "distill": _with_own_options("distill"),
    "motion": _with_own_options("motion"),
    "motion-average": _with_own_options("motion_average"),
    "motion-report": _with_own_options("motion_report"),
    "closures": _with_own_options("closures"),
    "jaw": _jaw,
    "interior": _interior,
    "generator": _generator,
    "shipped-poses": _shipped_poses,
    "shipped": _shipped,
    "shipped-pictures": _shipped_pictures,
    "loop": _loop,
    "occlusion": _occlusion,
    "occlusion-report": _occlusion_report,
}


def run_step(step: str, arguments: Sequence[str]) -> None:
    """Run one step of the recipe; each continues where it was stopped."""
    STEPS[step](arguments)
