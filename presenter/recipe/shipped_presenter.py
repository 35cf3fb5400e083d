"""Building a shipped presenter from the pictures that `presenter.studio` renders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.crop import crop_transform, cut_crop
from models.generator import Generator
from models.identity import Identity, StyleCode, picture_tensor
from models.mesh import canonicalise
from models.training.generator import GeneratorTraining, train_generator
from models.weights import generator_path
from presenter.recipe.shipped_crops import (
    Pictures,
    moved_crops,
    rendered_crops,
    track,
    write_crops,
)
from presenter.recipe.shipped_poses import emitted_meshes, spread
from presenter.runtime.identities import DEFAULT, shipped_dir
from presenter.runtime.identity_folder import save_identity


@dataclass(frozen=True, kw_only=True)
class ShippedPresenter:
    """Settings of the build.

    Attributes:
        name: Of the presenter, and of its character in `presenter.studio.character`.
        renders: Folder that `presenter.studio.render` wrote, also with the poses of `presenter.recipe.shipped_poses`.
        speech: Folder of recordings, of several voices: the renders are learnt on the meshes that these cause.
        meshes: How many of those.
        work: Folder for crops and the training's checkpoints; `cache/NAME` if None.
        init: Generator to personalise: the base generator, or that of a shipped presenter, who has the same teeth.
        sunk_teeth: How much lower than in the mean head the lower teeth lie, inter-ocular distances; at .12 the paint
            is most like the renders, at the meshes that the motion network emits.
        interior_residual: Of what is learnt of the mouth's inside, the share that is shown; less keeps dark what a few
            renders taught to be the mean of teeth, tongue and darkness.
        out: Folder of the presenter; where it ships if None.
        steps: Optimiser steps of the personalisation.
    """

    name: str = DEFAULT
    renders: Path
    speech: Path
    meshes: int = 500
    work: Path | None = None
    init: Path = generator_path()
    sunk_teeth: float = 0.12
    interior_residual: float = 1.0
    out: Path | None = None
    steps: int = 1500


def build_shipped(settings: ShippedPresenter) -> None:
    """Track, personalise and write the presenter."""
    work = settings.work or Path("cache") / settings.name
    pictures = Pictures.read(settings.renders)
    scene, rest = pictures.scene, pictures.canvas
    mesh, pose = canonicalise(track(rest))
    crops = rendered_crops(settings.renders, scene, rest, mesh, pose)
    emitted = emitted_meshes(settings.speech, mesh, pose)
    chosen = emitted[spread(emitted, settings.meshes, np.random.default_rng(0))]
    write_crops(work / "crops", crops + moved_crops(crops, chosen), settings.name)
    training = GeneratorTraining(
        crops=work / "crops",
        out=work / "generator.safetensors",
        init=settings.init,
        personal=True,
        exact_interior=True,
        sunk_teeth=settings.sunk_teeth,
        interior_weight=8.0,
        steps=settings.steps,
        sharpen_from=settings.steps // 4,
        learning_rate=3e-4,
        adversarial_weight=0.0,  # a hundred pictures are enough supervision, and it adds noise
    )
    train_generator(training)
    generator = Generator.load(training.out)
    generator.synthesis.interior_residual.data.fill_(settings.interior_residual)
    generator.save(work / "shipped.safetensors")
    generator = Generator.load(work / "shipped.safetensors")
    with torch.inference_mode():
        crop = picture_tensor(cut_crop(rest, crop_transform(pose)))
        style = StyleCode(generator.style_code(crop)[0].clone())
    identity = Identity(
        settings.name,
        pictures.rest,
        mesh,
        mesh.copy(),
        pose.enlarged(pictures.scale),
        style,
        generator.fingerprint,
        None,
        pictures.blinks(),
        pictures.matte,
        sunk_teeth=settings.sunk_teeth,
    )
    save_identity(settings.out or shipped_dir() / settings.name, identity, work / "shipped.safetensors")
