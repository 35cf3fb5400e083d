"""Train the causal network from sound: teacher features, phones and motion at once.

One loop serves pretraining (`distill`), the fine-tune on measured motion (`motion`) and the comparison run that
takes log-mel and learns from films alone; they differ in configuration only.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.mesh import LIPS, NUM_VERTICES
from models.motion_basis import mouth_rows
from models.syncformer import StyleSyncFormer, SyncFormerConfig
from models.training import motion_labels
from models.training.distill_augment import disturb_mel
from models.training.distill_batches import Batch, MixConfig, Sampler
from models.training.distill_curve import Figures, Judge, note
from models.training.distill_examples import Folders, load_examples
from models.training.distill_losses import SpeechHeads, speech_loss
from models.training.motion_eval import StudentPredictor, evaluate, open_figures, with_intervals
from models.training.motion_teacher import motion_loss


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run."""

    steps: int = 2800
    learning_rate: float = 1.2e-3
    warmup: int = 200
    feature_weight: float = 1.5
    phone_weight: float = 0.25
    motion_weight: float = 0.7
    ema: float = 0.998
    save_every: int = 250
    seed: int = 0
    mix: MixConfig = field(default_factory=MixConfig)
    model: SyncFormerConfig = field(default_factory=SyncFormerConfig)


def _optimisers(
    model: StyleSyncFormer, heads: SpeechHeads, learning_rate: float
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the matrices of the Transformer blocks, AdamW for everything else, at one learning rate.

    Source: Jordan et al. 2024 (Muon); Liu et al. 2025 (the scaling that lets it share AdamW's rate).
    """
    blocks = [*model.audio.blocks.parameters(), *model.motion.blocks.parameters()]
    matrices = [weight for weight in blocks if weight.dim() == 2]
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in (*model.parameters(), *heads.parameters()) if id(weight) not in taken]
    muon = torch.optim.Muon(matrices, learning_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    return muon, torch.optim.AdamW(others, learning_rate, betas=(0.9, 0.98), weight_decay=0.02)


class Run:
    """A training run that can be stopped and resumed: network, optimiser, averaged weights, step."""

    def __init__(self, config: TrainConfig, model: StyleSyncFormer, folder: Path) -> None:
        """Prepare a run in `folder`; continues from its checkpoint if there is one."""
        self.config, self.model, self.folder = config, model, folder
        self.heads = SpeechHeads(model.config.dim, config.mix.features)
        self.average = StyleSyncFormer(model.config)
        self.average.load_state_dict(model.state_dict())
        self.rows = torch.from_numpy(mouth_rows(model.basis.numpy()))
        self.lips = model.basis.view(-1, NUM_VERTICES, 3)[:, LIPS].flatten(1)
        self.matrices, self.others = _optimisers(model, self.heads, config.learning_rate)
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "run.pt").exists():
            self._load(torch.load(folder / "run.pt", weights_only=True))

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        networks = {"model": self.model, "heads": self.heads, "average": self.average}
        return {**networks, "matrices": self.matrices, "others": self.others}

    def _load(self, saved: dict[str, dict[str, Tensor] | int]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(saved[name])  # type: ignore[arg-type]
        self.step = int(saved["step"])  # type: ignore[arg-type]

    def begin_from(self, start: Path) -> None:
        """Begin from a checkpoint, or a finished run's averaged network and readers, unless begun already."""
        if self.step == 0 and start.is_file():
            saved = StyleSyncFormer.load(start).state_dict()
            self.model.load_state_dict(saved)
            self.average.load_state_dict(saved)
        elif self.step == 0:
            saved = torch.load(start / "run.pt", weights_only=True)
            self.model.load_state_dict(saved["average"])
            self.average.load_state_dict(saved["average"])
            self.heads.load_state_dict(saved["heads"])

    def save(self) -> None:
        """Write everything needed to continue, and the averaged network as a checkpoint."""
        saved = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save({**saved, "step": self.step}, self.folder / "run.partial")
        (self.folder / "run.partial").rename(self.folder / "run.pt")
        self.average.save(self.folder / "syncformer.safetensors")

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to a fiftieth."""
        config = self.config
        if self.step < config.warmup:
            return config.learning_rate * (self.step + 1) / config.warmup
        done = (self.step - config.warmup) / max(config.steps - config.warmup, 1)
        return config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))

    def losses(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of one batch and figures for the progress bar."""
        model, config = self.model, self.config
        with torch.no_grad():
            mel = disturb_mel(model.mel(batch.pcm), generator)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            state = model.init_state(len(mel), config.mix.frames)
            audio = model.process_audio(mel, state)
            style = model.encode_style(batch.style_motion) * batch.has_style[:, None]
            hidden = model.move(audio, style, state)
            outputs = [head(hidden) for head in model.outputs]
            speech, explained = speech_loss(self.heads, audio, batch, config.feature_weight, config.phone_weight)
        # The head that runs learns at every step, the others in turn: their losses cost more than their weights.
        others = [d for d in range(len(outputs)) if d != config.model.delay]
        motion = self._motion_loss(outputs, config.model.delay, batch)
        if others:
            motion = motion + self._motion_loss(outputs, others[self.step % len(others)], batch)
        total = speech + config.motion_weight * motion
        return total, {
            "features_r2": float(explained),
            "speech": float(speech.detach()),
            "motion": float(motion.detach()),
        }

    def _motion_loss(self, outputs: list[Tensor], delay: int, batch: Batch) -> Tensor:
        frames = self.config.mix.frames - delay
        predicted, true = outputs[delay][:, delay:].float(), batch.motion[:, :frames]
        return motion_loss(predicted, true, batch.weight[:, :frames], self.rows, self.lips)

    def train(self, sampler: Sampler, report: dict[str, object], judge: Judge) -> None:
        """Run the remaining steps; `report` gathers figures and is written next to the checkpoint.

        At every save the averaged network is evaluated; the figures join `curve.json`, the best one so far is
        `best.safetensors`.
        """
        config = self.config
        generator = torch.Generator().manual_seed(config.seed + self.step)
        smooth: dict[str, float] = {}
        progress = tqdm(range(self.step, config.steps), initial=self.step, total=config.steps, mininterval=10)
        for _ in progress:
            for group in (*self.matrices.param_groups, *self.others.param_groups):
                group["lr"] = self.learning_rate()
            loss, figures = self.losses(sampler.batch(), generator)
            self.model.zero_grad(set_to_none=True)
            self.heads.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([*self.model.parameters(), *self.heads.parameters()], 1.0)
            self.matrices.step()
            self.others.step()
            self._average()
            self.step += 1
            smooth = {k: 0.98 * smooth.get(k, v) + 0.02 * v for k, v in figures.items()}
            progress.set_postfix({k: f"{v:.3f}" for k, v in smooth.items()}, refresh=False)
            if self.step % config.save_every == 0 or self.step == config.steps:
                self.save()
                if note(self.folder / "curve.json", self.step, judge(self.average.eval())):
                    self.average.save(self.folder / "best.safetensors")
                report["training"] = smooth
                (self.folder / "report.json").write_text(json.dumps(report, indent=1, default=str))

    def _average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            mine, own = ([p.data for p in m.parameters()] for m in (self.average, self.model))
            torch._foreach_lerp_(mine, own, 1 - decay)


def run_training(config: TrainConfig, folders: Folders, out: Path, start: Path | None = None) -> dict[str, object]:
    """Train one network, resumable, and evaluate it on the held-out clips.

    Args:
        config: the run.
        folders: prepared data.
        out: folder of this run's checkpoints and `report.json`.
        start: folder of the run, or checkpoint, to begin from; random weights when None.

    Returns:
        The report that was written.
    """
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    examples, corpus, motion, basis = load_examples(folders)
    model = StyleSyncFormer(config.model)
    model.basis.copy_(torch.from_numpy(basis))
    run = Run(config, model.train(), out)
    if start:
        run.begin_from(start)
    report: dict[str, object] = {"config": asdict(config), "examples": len(examples)}
    began = time.monotonic()

    def judge(network: StyleSyncFormer) -> Figures:
        return with_intervals(open_figures(StudentPredictor(network).at(config.model.delay), corpus, motion, basis))

    run.train(Sampler(examples, config.mix, config.seed + run.step), report, judge)
    report["minutes"] = (time.monotonic() - began) / 60
    student = StudentPredictor(run.average.eval())
    report["held_out"] = {
        str(delay): evaluate(student.at(delay), corpus, motion, basis) for delay in range(config.model.delays)
    }
    (out / "report.json").write_text(json.dumps(report, indent=1, default=str))
    return report


def main(argv: list[str] | None = None) -> int:
    """Pretrain the causal network, after the teacher's labels where they are missing.

    `--plain` is the comparison that is trained on filmed clips only and has no teacher.
    """
    parser = argparse.ArgumentParser(description="Pretrain the causal audio-to-motion network.")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of tracks, audio and motion")
    parser.add_argument("--out", type=Path, default=Path("cache/distill"))
    parser.add_argument("--steps", type=int, default=TrainConfig().steps)
    parser.add_argument("--start", type=Path, help="checkpoint, or folder of a run, to begin from")
    parser.add_argument("--learning-rate", type=float, default=TrainConfig().learning_rate)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args(argv)
    cache = options.cache
    config = TrainConfig(steps=options.steps, learning_rate=options.learning_rate)
    if options.plain:
        config = TrainConfig(
            steps=options.steps, feature_weight=0.0, phone_weight=0.0, mix=MixConfig(filmed=0.92, teacher_weight=0.0)
        )
    folders = Folders(tracks=cache / "tracks", audio=cache / "audio", motion=cache / "motion")
    motion_labels.main(["--cache", str(cache)])
    print(json.dumps(run_training(config, folders, options.out, options.start)["held_out"], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
