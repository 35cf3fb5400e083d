"""Training of the occlusion network: two frames of one clip, and something drawn before one of them.

Run by `presenter train occlusion`; continues from its own checkpoint when started again.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from models.checkpoint import save_checkpoint
from models.face_square import FACE_SIDE, FaceTexture
from models.mesh import FACE_OVAL, NUM_VERTICES, Floats
from models.occlusion import SIZE, OcclusionNetwork, face_area, own_look, planes_of, square_rasteriser, to_inputs
from models.training.crop_dataset import mirrored_vertices
from models.training.occluders import Scene, draw_any, lay_over

Picture = NDArray[np.uint8]

ABOUT, PICTURES, POINTS = "about.json", "pictures.npy", "points.npy"
"""Files of a folder of faces."""
STORED_SIZE = 128
"""Side of their pictures, pixels."""
_UNIT = STORED_SIZE / FACE_SIDE  # pixels per inter-ocular distance
_CLEAN = 0.35  # share of examples with nothing before the face
_OUTSIDE = 0.1  # weight of pixels beside the face
_FRAMES_OF_LOOK = (1, 1, 3)
_DECAY = 0.995  # of the averaged weights, per step


@dataclass(frozen=True, kw_only=True)
class OcclusionTraining:
    """Settings of the training.

    Attributes:
        faces: Folder of prepared faces.
        out: Checkpoint to write; `out.with_suffix(".resume.pt")` holds the optimiser.
        steps: Optimiser steps; the rate falls to nothing over them.
        held_out: Examples of people held out, on which it is judged.
    """

    faces: Path
    out: Path
    steps: int = 2500
    batch_size: int = 24
    learning_rate: float = 1.5e-3
    save_every: int = 100
    held_out: int = 120
    workers: int = 2
    threads: int = 1
    seed: int = 0


class Sample(NamedTuple):
    """One example: planes `[8, 96, 96]`, uint8; what is before the face and what counts `[1, 96, 96]`, 0..1."""

    planes: Tensor
    occluded: Tensor
    weight: Tensor


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces on disk.

    Attributes:
        pictures: `[N, 128, 128, 3]`.
        points: `[N, 514, 3]`.
        clips: Which of them show the same person in the same clip.
    """

    pictures: Picture
    points: Floats
    clips: list[list[int]] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, *, held_out: bool) -> Faces:
        """Map a folder that the preparation wrote: what may be trained on, or what is held out."""
        clips: dict[str, list[int]] = {}
        for k, about in enumerate(json.loads((folder / ABOUT).read_text())):
            if about["held_out"] == held_out:
                clips.setdefault(about["clip"], []).append(k)
        return cls(np.load(folder / PICTURES, mmap_mode="r"), np.load(folder / POINTS), list(clips.values()))


class OccludedFaces(Dataset[Sample]):
    """Random examples; each is a function of the seed and its position.

    Args:
        faces: What to draw before.
        length: Examples.
        seed: Of all of them.
    """

    def __init__(self, faces: Faces, length: int, seed: int = 0) -> None:
        self._faces, self._length, self._seed = faces, length, seed
        self._rasteriser = square_rasteriser()
        weights = np.array([1.0 if len(clip) == 1 else 4.0 for clip in faces.clips])
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Sample:
        rng = np.random.default_rng((self._seed, position))
        clip = self._faces.clips[int(rng.choice(len(self._faces.clips), p=self._weights))]
        target = int(rng.choice(clip))
        picture, points = self._faces.pictures[target], self._faces.points[target]
        alpha = np.zeros(picture.shape[:2], np.float32)
        if rng.random() > _CLEAN:
            occluder = draw_any(self._scene(picture, points, rng), rng)
            picture, alpha = lay_over(picture, occluder, _UNIT, rng), occluder.alpha
        picture, alpha, points = _moved(picture, alpha, points, rng)
        others = [k for k in clip if k != target]
        if others and alpha.any() and rng.random() < 0.5:  # hands mislead the tracker
            points = _misled(points, self._faces.points[int(rng.choice(others))], rng)
        planes = planes_of(self._rasteriser, _filmed(picture, rng), points, self._look(target, others, rng))
        weight = _OUTSIDE + (1 - _OUTSIDE) * face_area(points)
        planes_alpha = (torch.from_numpy(np.ascontiguousarray(each[None])) for each in (alpha, weight))
        return Sample(torch.from_numpy(planes), *planes_alpha)

    def _scene(self, picture: Picture, points: Floats, rng: np.random.Generator) -> Scene:
        """Somewhere over the lower face, more often than not."""
        around = points[[13, 17, 152, 4, 205, 425, 168]] if rng.random() < 0.75 else points[FACE_OVAL]
        centre = around[int(rng.integers(len(around))), :2] + rng.normal(0, 12, 2)
        x, y = np.clip(np.rint(points[[50, 280, 151], :2]).astype(int), 0, STORED_SIZE - 1).T
        others = [self._faces.pictures[int(k)] for k in rng.integers(0, len(self._faces.pictures), 1)]
        return Scene(STORED_SIZE, _UNIT, centre, np.median(picture[y, x], 0).astype(np.float32), others)

    def _look(self, target: int, others: list[int], rng: np.random.Generator) -> FaceTexture:
        """The person's own look: of other frames of the clip, or of the picture itself, mirrored or not."""
        count = min(int(rng.choice(_FRAMES_OF_LOOK)), len(others))
        chosen = rng.permutation(others)[:count] if count else [target]
        textures = []
        for k in chosen:
            picture, points = self._faces.pictures[k], self._faces.points[k]
            if not count and rng.random() < 0.4:
                picture, points = np.ascontiguousarray(picture[:, ::-1]), points[mirrored_vertices()].copy()
                points[:, 0] = STORED_SIZE - 1 - points[:, 0]
            picture, _, points = _moved(picture, None, points, rng)
            textures.append(FaceTexture(picture, points, points[:NUM_VERTICES]))
        look = own_look(textures)
        return replace(look, picture=_filmed(look.picture, rng))


def _moved(
    picture: Picture, alpha: NDArray[np.floating[Any]] | None, points: Floats, rng: np.random.Generator
) -> tuple[Picture, Floats, Floats]:
    """A square as the network has it, cut a little differently; the mesh is a little off, as a tracker's."""
    scale = SIZE / STORED_SIZE * rng.uniform(0.93, 1.08)
    place = cv2.getRotationMatrix2D((STORED_SIZE / 2, STORED_SIZE / 2), rng.normal(0, 3), scale)
    place[:, 2] += (SIZE - STORED_SIZE) / 2 + rng.normal(0, 2, 2)
    size = (SIZE, SIZE)
    moved = cv2.warpAffine(picture, place, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = points[:, :2] @ place[:, :2].T + place[:, 2] + rng.normal(0, 0.35, 2) + rng.normal(0, 0.2, (len(points), 2))
    covered = np.zeros(size, np.float32) if alpha is None else cv2.warpAffine(alpha, place, size)
    return (
        moved.astype(np.uint8),
        covered.astype(np.float32),
        np.column_stack([flat, points[:, 2] * scale]).astype(np.float32),
    )


def _misled(points: Floats, other: Floats, rng: np.random.Generator) -> Floats:
    """A mesh with some of another frame's expression."""
    delta = (other - other.mean(0)) * (SIZE / STORED_SIZE) - (points - points.mean(0))
    return (points + rng.uniform(0, 0.6) * delta).astype(np.float32)


def _filmed(picture: Picture, rng: np.random.Generator) -> Picture:
    """A picture in other light, through another lens and codec."""
    size = len(picture)
    light = rng.normal(1, 0.12) * np.exp(rng.normal(0, 0.05, 3))
    y, x = (np.mgrid[:size, :size] / size - 0.5).astype(np.float32)
    slope = rng.normal(0, 0.35, 2) if rng.random() < 0.4 else rng.normal(0, 0.05, 2)
    lit = picture * light * (1 + slope[0] * x + slope[1] * y)[..., None] + rng.normal(0, 5)
    lit = 255 * (np.clip(lit, 0, 255).astype(np.float32) / 255) ** np.float32(rng.uniform(0.85, 1.2))
    if rng.random() < 0.1:
        lit = np.repeat(lit.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.3:
        small = int(size * rng.uniform(0.35, 0.9))
        lit = cv2.resize(cv2.resize(lit, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if rng.random() < 0.15:
        kernel = np.zeros((7, 7))
        cv2.line(kernel, (3, 3), (int(rng.integers(7)), int(rng.integers(7))), 1.0, 1)
        lit = cv2.filter2D(lit, -1, kernel / kernel.sum())
    lit = lit + rng.uniform(0, 4) * rng.standard_normal(lit.shape, np.float32)
    shown = np.clip(lit, 0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        _, packed = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
        shown = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return shown


def occlusion_loss(logits: Tensor, batch: Sample) -> Tensor:
    """Cross-entropy and the overlap's complement, of pixels that count."""
    weight = batch.weight
    entropy = F.binary_cross_entropy_with_logits(logits, batch.occluded, weight, reduction="sum") / weight.sum()
    found = logits.sigmoid() * weight
    wanted = batch.occluded * weight
    both, all_of = (found * batch.occluded).sum((1, 2, 3)), (found + wanted).sum((1, 2, 3))
    return entropy + 0.2 * (1 - (2 * both + 20) / (all_of + 20)).mean()


class OcclusionTrainer:
    """The state of a training: network, averaged weights, optimiser, step count."""

    def __init__(self, config: OcclusionTraining) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config = config
        self.network = OcclusionNetwork()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), config.learning_rate, weight_decay=1e-3)
        self.step = 0
        self._resume_path = config.out.with_suffix(".resume.pt")
        if self._resume_path.exists():
            saved = torch.load(self._resume_path, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.step = int(saved["step"])

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}

    def save(self) -> None:
        """Write the averaged network, and everything needed to continue."""
        halves = {name: tensor.half() for name, tensor in self.average.state_dict().items()}
        save_checkpoint(self.config.out, halves, {"widths": self.network.widths, "step": self.step})
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        partial = self._resume_path.with_suffix(".partial")
        torch.save({**saved, "step": self.step}, partial)
        partial.replace(self._resume_path)

    def train_step(self, batch: Sample) -> float:
        """One update; returns the loss."""
        rise = min(1.0, (self.step + 1) / 100)
        fall = 0.5 + 0.5 * float(np.cos(np.pi * min(self.step / self.config.steps, 1.0)))
        self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * rise * max(fall, 0.01)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(to_inputs(batch.planes))
        loss = occlusion_loss(logits.float(), batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        decay = min(_DECAY, (self.step + 1) / (self.step + 10))
        for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(now.detach(), 1 - decay)
        self.step += 1
        return loss.item()


def train_occlusion(config: OcclusionTraining) -> None:
    """Train to the given number of steps, and print losses and what is found on held-out people."""
    trainer = OcclusionTrainer(config)
    left = (config.steps - trainer.step) * config.batch_size
    if left <= 0:
        return
    seed = config.seed + 1000 * trainer.step
    faces = OccludedFaces(Faces.load(config.faces, held_out=False), left, seed)
    batches = DataLoader(faces, config.batch_size, num_workers=config.workers)
    losses = []
    for batch in batches:
        losses.append(trainer.train_step(Sample(*batch)))
        if trainer.step % config.save_every == 0 or trainer.step == config.steps:
            trainer.save()
            print(
                f"{trainer.step}: loss {np.mean(losses):.4f}, {held_out_overlap(trainer.average, config)}", flush=True
            )
            losses = []


def held_out_overlap(network: OcclusionNetwork, config: OcclusionTraining) -> str:
    """Overlap (IoU) of what is found and what is there on people held out, and what is found where nothing is."""
    samples = OccludedFaces(Faces.load(config.faces, held_out=True), config.held_out, seed=1)
    both = either = wrong = clean = 0.0
    for batch in DataLoader(samples, config.batch_size):
        planes, occluded, weight = batch
        with torch.inference_mode():
            found = (network(to_inputs(planes)) > 0) & (weight == 1)
        there = (occluded > 0.5) & (weight == 1)
        both += float((found & there).sum())
        either += float((found | there).sum())
        nothing = ~there.any(-1).any(-1)[..., None, None]
        wrong += float((found & nothing).sum())
        clean += float(((weight == 1) & nothing).sum())
    return f"held out: IoU {both / max(either, 1):.3f}, false alarms {wrong / max(clean, 1):.5f}"
