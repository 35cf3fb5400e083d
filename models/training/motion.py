"""Fine-tune the causal network on measured motion, mixed with the rest so that other voices are kept."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from models.training.distill import TrainConfig, run_training
from models.training.distill_batches import MixConfig
from models.training.distill_examples import Folders


def fine_tune_config(steps: int) -> TrainConfig:
    """Return the configuration of the last stage: a lower rate, motion before features."""
    return TrainConfig(
        steps=steps,
        learning_rate=6e-4,
        warmup=50,
        feature_weight=0.5,
        phone_weight=0.1,
        motion_weight=1.0,
        ema=0.996,
        seed=1,
        mix=MixConfig(filmed=0.35, silent=0.12, teacher_weight=1.0),
    )


def refresh_config(steps: int) -> TrainConfig:
    """Return a short run that brings back the speaker with most film, after many voices were learnt."""
    config = fine_tune_config(steps)
    mix = replace(config.mix, filmed=0.5, silent=0.08, largest=0.65)
    return replace(
        config, learning_rate=3e-4, warmup=20, feature_weight=0.0, phone_weight=0.0, ema=0.985, seed=5, mix=mix
    )


def main(argv: list[str] | None = None) -> int:
    """Fine-tune from the pretrained network; with `--ship` copy the result there."""
    parser = argparse.ArgumentParser(description="Fine-tune the causal network on measured motion.")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of tracks, audio and motion")
    parser.add_argument(
        "--start", type=Path, default=Path("cache/distill"), help="folder of the pretraining, or a checkpoint"
    )
    parser.add_argument("--out", type=Path, default=Path("cache/finetune"))
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--refresh", action="store_true", help="only bring back the speaker with most film")
    parser.add_argument("--ship", type=Path, help="where the finished checkpoint goes, such as models/weights/…")
    options = parser.parse_args(argv)
    cache = options.cache
    folders = Folders(tracks=cache / "tracks", audio=cache / "audio", motion=cache / "motion")
    config = refresh_config(options.steps) if options.refresh else fine_tune_config(options.steps)
    report = run_training(config, folders, options.out, options.start)
    print(json.dumps(report["held_out"], indent=1))
    if options.ship:
        shutil.copyfile(options.out / "best.safetensors", options.ship)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
