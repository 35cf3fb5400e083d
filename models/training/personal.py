"""Personalisation: the base generator tuned on crops of one person's video, and judged on frames kept back from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from models.crop import crop_mask, crop_points, crop_rasteriser, crop_transform, cut_crop
from models.generator import Generator
from models.identity import picture_tensor
from models.live_inputs import masked_target, mixed_planes
from models.mesh import LIPS, Floats, Pose, aperture
from models.metrics import mouth_box, psnr, sharpness, ssim
from models.mouth_interior import interior_look
from models.references import Mixer, light, skin
from models.still import Paster, Picture
from models.tracker.landmarks import LandmarkFinder
from models.tracker.region import Region
from models.training.crop_dataset import Crops, Sample
from models.training.generator import GeneratorTrainer, GeneratorTraining
from models.training.personal_pairs import PersonalPairs, closed_crops, lit, nearest_closed, references_of

IMAGES, POINTS, ABOUT, HELD_OUT = "images.npy", "points.npy", "about.json", "held_out.npz"
"""Files of a folder of crops."""
_SHEET_CELL = 256  # pixels of a frame of 512
_SHOWN = (0.2, 0.7, 0.97)  # of the frames that were kept back, by how open the mouth is
_VISIBLE_DB = 0.1  # a smaller gain is none
_PATIENCE = 4  # checks without a gain, before the training stops
Progress = Callable[[float, str], None]


class Figures(NamedTuple):
    """How like the video what is rendered is, in the box around the mouth, on frames that were kept back."""

    psnr_db: float
    ssim: float
    lmd_px: float
    """Mean distance of the lips' landmarks, pixels of a frame of 512."""
    sharpness: float
    """In relation to the video's."""

    def __str__(self) -> str:
        """One line for the user."""
        return (
            f"PSNR {self.psnr_db:.1f} dB, SSIM {self.ssim:.3f}, lip landmarks {self.lmd_px:.2f} px off,"
            f" sharpness {self.sharpness:.2f} of the video's"
        )

    def is_better_than(self, other: Figures) -> bool:
        """Whether the picture gained and nothing else was lost for it."""
        return (
            self.psnr_db > other.psnr_db + _VISIBLE_DB
            and self.ssim > other.ssim
            and self.lmd_px < other.lmd_px + 0.1
            and abs(math.log(self.sharpness)) < abs(math.log(other.sharpness)) + 0.1
        )


class Personalised(NamedTuple):
    """The outcome.

    Attributes:
        before: Figures of the base generator.
        after: Of the tuned one.
        generator: Its checkpoint; None if it is no better.
        steps: How many were made.
        sheet: Mouths of the frames that were kept back, see `Judge.sheet`.
    """

    before: Figures
    after: Figures
    generator: Path | None
    steps: int
    sheet: Picture


@dataclass(frozen=True, kw_only=True)
class PersonalTraining:
    """Settings.

    Attributes:
        crops: Folder with `IMAGES`, `POINTS`, `ABOUT` and `HELD_OUT`.
        out: Checkpoint to write; what is needed to continue lies beside it.
        init: The base generator.
        steps: Optimiser steps at the most.
        seconds: Of computing after which it stops; what an interrupted run took is not counted. On a machine that is
            busy with other work it takes up to twice as long.
        threads: Of the processor.
        learning_rate: At first; it falls to a tenth.
        batch_size: Crops per step.
        check_every: Steps from one look at the frames that were kept back to the next; what was learnt is saved then.
    """

    crops: Path
    out: Path
    init: Path
    steps: int = 600
    seconds: float = 540.0
    threads: int = 2
    learning_rate: float = 3e-4
    batch_size: int = 4
    check_every: int = 60


class Judge:
    """Renders the frames that were kept back, each as a presenter whose template frame is the nearest closed crop.

    Args:
        folder: Of the crops.
    """

    def __init__(self, folder: Path) -> None:
        self._crops = Crops.load(folder)
        self._closed = closed_crops(self._crops)
        self._references = references_of(self._crops)
        with np.load(folder / HELD_OUT) as held:
            self._frames, self._meshes, self._neutral = held["frames"], held["meshes"], held["neutral"]
            motion = zip(held["scales"], held["rotations"], held["translations"], strict=True)
            self._poses = [Pose(float(scale), rotation, translation) for scale, rotation, translation in motion]
        self._rasteriser = crop_rasteriser()
        self._finder = LandmarkFinder()

    def judge(self, generator: Generator) -> Figures:
        """Mean figures of a generator."""
        rows = [self._judge(generator, i)[0] for i in range(len(self._poses))]
        return Figures(*(float(np.mean(column)) for column in zip(*rows, strict=True)))

    def pictures(self, generator: Generator, index: int) -> tuple[Picture, Picture]:
        """A frame that was kept back, as filmed and as rendered."""
        return self._frames[index], self._judge(generator, index)[1]

    def sheet(self, generators: list[Generator]) -> Picture:
        """Mouths `[256 R, 256 (1 + G), 3]`, from closed to open: a frame as filmed, then as rendered by each."""
        order = np.argsort([aperture(mesh) for mesh in self._meshes])
        rows = []
        for index in (int(order[round(share * (len(order) - 1))]) for share in _SHOWN):
            frame = self._frames[index]
            lips = self._poses[index].project(self._meshes[index])[LIPS, :2].mean(0)
            left, top = (int(np.clip(place - _SHEET_CELL / 2, 0, len(frame) - _SHEET_CELL)) for place in lips)
            shown = [frame, *(self._judge(generator, index)[1] for generator in generators)]
            rows.append(np.hstack([each[top : top + _SHEET_CELL, left : left + _SHEET_CELL] for each in shown]))
        return np.vstack(rows)

    def _judge(self, generator: Generator, index: int) -> tuple[Figures, Picture]:
        frame, pose = self._frames[index], self._poses[index]
        transform = crop_transform(pose)
        target = cut_crop(frame, transform, sharp=True)
        points = crop_points(self._meshes[index], self._neutral, pose, transform)
        chosen = nearest_closed(self._crops, self._closed, points)[0]
        reference, source = self._crops.images[chosen], self._crops.points[chosen]
        reference = lit(reference, light(skin(target, points), skin(reference, source)))
        look = interior_look(reference, source) if generator.config.painted_interior else None
        mix = Mixer(reference, source, self._references).mix(points)
        live = picture_tensor(mixed_planes(self._rasteriser, points, mix, look))
        with torch.inference_mode():
            folded = generator.fold(generator.style_code(picture_tensor(reference))[0])
            painted = folded(folded.encode_target(masked_target(picture_tensor(target))), live)[0].numpy()
        # The reference lies behind, as live: the frame's own mouth must not be visible.
        behind, mask = picture_tensor(reference)[0].numpy(), crop_mask()
        colour = behind + painted[3:] * (painted[:3] - behind)
        made = frame.copy()
        paster = Paster((frame.shape[0], frame.shape[1]), transform)
        paster.paste(made, np.concatenate([colour, np.ones_like(mask)[None]]))
        return self._compare(made, frame, pose.project(self._meshes[index])), made

    def _compare(self, made: Picture, frame: Picture, landmarks: Floats) -> Figures:
        box = mouth_box(landmarks, len(frame))
        region = Region.of_landmarks(landmarks)
        found, wanted = (self._finder.find(picture, region)[0][LIPS, :2] for picture in (made, frame))
        off = float(np.linalg.norm(found - wanted, axis=1).mean()) * 512 / len(frame)
        ratio = sharpness(made[box]) / max(sharpness(frame[box]), 1e-3)
        return Figures(psnr(made[box], frame[box]), ssim(made[box], frame[box]), off, ratio)


class _Clock:
    """Seconds of computing per thread, at least half of those that pass."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def seconds(self) -> float:
        """Since the clock was made."""
        return max((time.process_time() - self._cpu) / self._threads, (time.monotonic() - self._wall) / 2)


def personalise(settings: PersonalTraining, progress: Progress = lambda fraction, message: None) -> Personalised:
    """Tune the base generator; continues where an earlier run with the same `out` was interrupted.

    Args:
        settings: What on and how long.
        progress: Called with the share of the work that is done, 0..1, and a message; what it raises stops the
            training, which can be continued.
    """
    training = GeneratorTraining(
        crops=settings.crops,
        out=settings.out,
        init=settings.init,
        personal=True,
        exact_interior=True,
        steps=settings.steps,
        sharpen_from=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        adversarial_weight=0.0,
        threads=settings.threads,
    )
    judge = Judge(settings.crops)
    before = judge.judge(Generator.load(settings.init))
    progress(0.0, f"Before: {before}")
    trainer = GeneratorTrainer(training)
    best_path = settings.out.with_suffix(".best.safetensors")
    best = judge.judge(Generator.load(best_path)) if best_path.exists() else before
    pairs = PersonalPairs(
        Crops.load(settings.crops), (settings.steps - trainer.step) * settings.batch_size, trainer.step
    )
    clock, first, without_gain, now = _Clock(settings.threads), trainer.step, 0, best
    for batch in DataLoader(pairs, settings.batch_size):
        trainer.train_step(Sample(*batch))
        took = clock.seconds()
        if trainer.step % 10 == 0:
            rest = min((settings.steps - trainer.step) * took / (trainer.step - first), settings.seconds - took)
            share = max(trainer.step / settings.steps, took / settings.seconds)
            progress(min(share, 1.0), f"Step {trainer.step}, at most {rest:.0f} s left; so far {best.psnr_db:.2f} dB")
        is_over = trainer.step >= settings.steps or took > settings.seconds
        if trainer.step % settings.check_every and not is_over:
            continue
        trainer.save()
        now = judge.judge(Generator.load(settings.out))
        without_gain += 1
        if now.psnr_db > best.psnr_db + 0.05:
            without_gain = 0
        if now.psnr_db > best.psnr_db:
            best = now
            settings.out.replace(best_path)
        if is_over or without_gain >= _PATIENCE:
            break
    tuned = best_path if best_path.exists() else settings.out
    after = best if best_path.exists() else now
    sheet = judge.sheet([Generator.load(settings.init), Generator.load(tuned)])
    return Personalised(before, after, tuned if after.is_better_than(before) else None, trainer.step, sheet)
