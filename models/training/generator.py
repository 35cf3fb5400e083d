"""Training of the generator: the base network on all identities, and personalisation to one.

Run by `presenter train generator`; continues from its own checkpoint when started again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from models.crop import crop_mask
from models.generator import Generator, LiveInputs, composite
from models.generator_layers import GeneratorConfig
from models.live_inputs import masked_target
from models.training.crop_dataset import CropPairs, Crops, Sample
from models.training.losses import MouthDiscriminator, PerceptualLoss, crop_mouth, gradient_loss, interior_loss


@dataclass(frozen=True, kw_only=True)
class GeneratorTraining:
    """Settings of one training.

    Attributes:
        crops: Folder of prepared crops.
        out: Checkpoint to write; `out.with_suffix(".resume.pt")` holds the optimiser.
        init: Generator to start from; None starts from scratch.
        corpora: Only these corpora; empty means all.
        personal: Fine-tune to one person; see `CropPairs`.
        exact_interior: Ask for the crops' own teeth also where they are painted: for a person whose teeth never look
            otherwise than the crops show, at exactly that mesh.
        sunk_teeth: Of that person; see `models.mouth_interior.InteriorLook`.
        interior_weight: How much more than skin the mouth's opening counts.
        steps: Optimiser steps.
        adversarial_weight: Of the adversary; 0 leaves it out.
        sharpen_from: Step from which the perceptual loss and the adversary take part; before, they would
            cost half the time and teach little.
    """

    crops: Path
    out: Path
    init: Path | None = None
    corpora: tuple[str, ...] = ()
    personal: bool = False
    exact_interior: bool = False
    sunk_teeth: float = 0.0
    interior_weight: float = 2.0
    steps: int = 6000
    sharpen_from: int = 3500
    batch_size: int = 8
    learning_rate: float = 4e-4
    adversary_learning_rate: float = 4e-4
    perceptual_weight: float = 0.03
    adversarial_weight: float = 0.003
    matching_weight: float = 0.01
    save_every: int = 250
    threads: int = 1
    workers: int = 1
    seed: int = 0


def to_inputs(batch: Sample) -> tuple[Tensor, Tensor, Tensor, LiveInputs, Tensor, Tensor]:
    """Turn a uint8 batch into target, masked target, reference, live inputs, painted interior and mouth, 0..1."""
    target, reference, live, painted, mouth = (part.float() / 255 for part in batch)
    inputs = LiveInputs(live[:, :3], live[:, 3:4], live[:, 4:5], live[:, 5:])
    return target, masked_target(target), reference, inputs, painted, mouth


class GeneratorTrainer:
    """The state of a training: networks, averaged weights, optimisers, step count."""

    def __init__(self, config: GeneratorTraining) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config = config
        start = Generator.load(config.init) if config.init else Generator(GeneratorConfig())
        if config.exact_interior:  # what is seen there can be learnt
            start.synthesis.interior_residual.data.fill_(1.0)
        start.config = replace(start.config, painted_interior=True)  # whatever it started from, it learns this now
        self.generator = start.train()
        self.generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.adversary = MouthDiscriminator()
        self._perceptual: PerceptualLoss | None = None  # loaded when it is first needed
        betas = (0.5, 0.99)
        rate = config.learning_rate
        self.optimiser = torch.optim.Adam(self.generator.parameters(), rate, betas=betas)
        faster = config.adversary_learning_rate
        self.adversary_optimiser = torch.optim.Adam(self.adversary.parameters(), faster, betas=betas)
        self.mask = torch.from_numpy(crop_mask())
        self.step = 0
        self._resume_path = config.out.with_suffix(".resume.pt")
        if self._resume_path.exists():
            self._restore()

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {
            "generator": self.generator,
            "average": self.average,
            "adversary": self.adversary,
            "optimiser": self.optimiser,
            "adversary_optimiser": self.adversary_optimiser,
        }

    def _origin(self) -> str:
        """What this training is of: data, starting weights and the settings that shape the networks' path."""
        digest = hashlib.sha256((self.config.crops / "about.json").read_bytes())
        digest.update(self.config.init.read_bytes() if self.config.init else b"")
        digest.update(
            repr((self.config.corpora, self.config.personal, self.config.exact_interior, self.config.seed)).encode()
        )
        return digest.hexdigest()

    def _restore(self) -> None:
        saved = torch.load(self._resume_path, weights_only=True)
        if saved["origin"] != self._origin():
            raise ValueError(
                f"{self._resume_path} belongs to a training on other data, weights or settings;"
                " remove it or write to another --out"
            )
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])
        self.step = int(saved["step"])

    def save(self) -> None:
        """Write the averaged generator and everything needed to continue."""
        self.average.save(self.config.out, {"step": self.step})
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        partial = self._resume_path.with_suffix(".partial")
        torch.save({**saved, "step": self.step, "origin": self._origin()}, partial)
        partial.replace(self._resume_path)

    def train_step(self, batch: Sample) -> dict[str, float]:
        """One update of the generator and, late in training, of the adversary."""
        target, masked, reference, live, painted, mouth = to_inputs(batch)
        if self.config.exact_interior:
            painted = torch.zeros_like(painted)
        self._set_rate()
        with torch.autocast("cpu", torch.bfloat16):
            style = self.generator.style_code(reference)
            rendered = self.generator(masked, live, style)
        # Live, the pixels under the mask show another mouth: blend over the reference, never over
        # the target, or the blend mask learns to pass the target through.
        behind = target + self.mask * (reference - target)
        fake = composite(behind, rendered, self.mask)
        weight = self.mask * (1 + 4 * mouth) + self.config.interior_weight * live.interior
        exact = weight * (1 - painted)
        losses = {
            "l1": ((fake - target).abs() * exact).mean(),
            "gradient": gradient_loss(fake, target, exact),
            # Colour must be right also where the blend mask hides it.
            "rendered": ((rendered[:, :3] - target).abs() * exact).mean() * 0.5,
            "interior": interior_loss(rendered[:, :3], target, live.warped, weight * painted),
        }
        # Nor are the features of teeth that nobody could know held against it.
        small, wanted = crop_mouth(fake), crop_mouth(torch.lerp(target, fake.detach(), painted))
        sharpen = self.step >= self.config.sharpen_from
        condition = crop_mouth(torch.cat([live.shade, live.interior], 1))
        adversarial = sharpen and self.config.adversarial_weight > 0
        if sharpen:
            losses["perceptual"] = self._perceptual_loss(small, wanted)
        if adversarial:
            losses |= self._adversarial_losses(small, wanted, condition)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimiser.step()
        if adversarial:
            losses["adversary"] = self._train_adversary(small.detach(), wanted, condition)
        self._update_average()
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _perceptual_loss(self, fake: Tensor, real: Tensor) -> Tensor:
        half = len(fake) // 2 or 1
        if self._perceptual is None:
            self._perceptual = PerceptualLoss()
        with torch.autocast("cpu", torch.bfloat16):
            distance = self._perceptual(fake[:half], real[:half])
        return distance.float() * self.config.perceptual_weight

    def _adversarial_losses(self, fake: Tensor, real: Tensor, condition: Tensor) -> dict[str, Tensor]:
        self.adversary.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            score, maps = self.adversary(torch.cat([fake, condition], 1))
            with torch.no_grad():
                _, wanted = self.adversary(torch.cat([real, condition], 1))
        matching = [(a - b).abs().mean().float() for a, b in zip(maps, wanted, strict=True)]
        return {
            "adversarial": -score.float().mean() * self.config.adversarial_weight,
            "matching": torch.stack(matching).mean() * self.config.matching_weight,
        }

    def _train_adversary(self, fake: Tensor, real: Tensor, condition: Tensor) -> Tensor:
        self.adversary.requires_grad_(True)
        both = torch.cat([torch.cat([fake, condition], 1), torch.cat([real, condition], 1)])
        with torch.autocast("cpu", torch.bfloat16):
            score, _ = self.adversary(both)
        on_fake, on_real = score.float().chunk(2)
        loss = F.relu(1 + on_fake).mean() + F.relu(1 - on_real).mean()
        self.adversary_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.adversary_optimiser.step()
        return loss

    def _set_rate(self) -> None:
        """Warm up for 100 steps, then fall linearly to a tenth."""
        share = min(self.step / self.config.steps, 1.0)
        factor = min(self.step / 100, 1.0) * (1 - 0.9 * share)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * max(factor, 1e-3)

    def _update_average(self) -> None:
        keep = min(0.998, self.step / (self.step + 50))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - keep)


def train_generator(config: GeneratorTraining) -> Generator:
    """Train until `config.steps`, saving as it goes; returns the averaged generator."""
    crops = Crops.load(config.crops)
    wanted = [
        i
        for i, about in enumerate(crops.about)
        if not about["held_out"] and (not config.corpora or about["corpus"] in config.corpora)
    ]
    if not wanted:
        raise ValueError(f"{config.crops}: expected crops of {config.corpora}, found none")
    trainer = GeneratorTrainer(config)
    first = trainer.step
    length = max(config.steps - first, 0) * config.batch_size
    pairs = CropPairs(
        crops,
        wanted,
        length,
        augment=True,
        personal=config.personal,
        sunk_teeth=config.sunk_teeth,
        seed=config.seed + first,
    )
    loader = DataLoader(pairs, config.batch_size, num_workers=config.workers)
    log = config.out.with_suffix(".log.jsonl").open("a")
    started = time.monotonic()
    for batch in loader:
        losses = trainer.train_step(Sample(*batch))
        if trainer.step % 50 == 0:
            seconds = (time.monotonic() - started) / (trainer.step - first)
            facts = {"step": trainer.step, "s_per_step": round(seconds, 3)}
            rounded = {name: round(value, 5) for name, value in losses.items()}
            log.write(json.dumps(facts | rounded) + "\n")
            log.flush()
        if trainer.step % config.save_every == 0:
            trainer.save()
    log.close()
    trainer.save()
    return trainer.average
