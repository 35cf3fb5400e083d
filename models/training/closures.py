"""Train what presses the lips on b, m and p (`models.lip_press`); the rest of the network stays as it is.

Examples are kept as what the press hears: log-mel of each frame and the frozen network's audio features, of each clip
as it is and of disturbed copies. `<cache>/closures/` holds the clips (see `closure_corpus`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.lip_press import PRESS_FRAMES, LipPress
from models.mesh import aperture
from models.motion_basis import Array
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer, normalised
from models.training.audio_corpus import load_clips
from models.training.closure_corpus import write_all
from models.training.distill_augment import disturb, disturb_mel, resample
from models.training.distill_noise import NoiseBank
from models.training.motion_data import held_out_kind, load_motion

SHARES = {"espeak": 1.0, "synthetic": 0.7, "ljspeech": 0.5, "de_emodb": 0.6, "film": 0.3, "grid_s1": 1.6}
"""How much each corpus counts, whatever its length; all filmed clips but GRID's are one."""
FILMED = ("film", "grid_s1")
_LONGEST = 300  # frames of a clip
_SLOWEST = 0.8  # speed of a disturbed copy
_OPEN, _SHUT = 0.05, 0.02  # lip opening of film that counts as open and as shut, inter-ocular distances


@dataclass(frozen=True, kw_only=True)
class ClosureConfig:
    """Sizes and rates of the training."""

    copies: int = 1  # disturbed ones of each clip
    steps: int = 3500
    batch: int = 512
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    gain: float = 2.0  # of the logits when the training is done: a larger one presses only when sure
    bias: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """A clip with what is wanted of its lips: sound `[T * 640]`, target `[T]` in 0..1, weight `[T]`."""

    corpus: str
    pcm: Array
    target: Array
    weight: Array


def synthetic_and_read(folder: Path) -> Iterator[Speech]:
    """Clips of `closure_corpus`."""
    for path in sorted(folder.glob("*/*.npz")):
        with np.load(path) as clip:
            frames = min(len(clip["target"]), _LONGEST)
            pcm = np.asarray(clip["pcm"][: frames * CHUNK_SAMPLES] / np.float32(32768), np.float32)
            yield Speech(path.parent.name, pcm, clip["target"][:frames], clip["weight"][:frames])


def filmed(cache: Path) -> Iterator[Speech]:
    """Tracked clips that may be trained on: lips are shut whenever they were, on whatever sound."""
    motion = {name: clip for name, clip in load_motion(cache / "tracks").items() if not held_out_kind(name)}
    for name, clip in load_clips(cache, list(motion)).items():
        opening = aperture(motion[name].neutral + motion[name].displacement)[: len(clip.phones)]
        target = np.clip((_OPEN - opening) / (_OPEN - _SHUT), 0, 1).astype(np.float32)
        pcm = np.asarray(clip.pcm[: len(target) * CHUNK_SAMPLES] / np.float32(32768), np.float32)
        corpus = name.split("/")[0]
        yield Speech(corpus if corpus in SHARES else "film", pcm, target, np.ones_like(target))


def disturbed(clip: Speech, bank: NoiseBank, rng: np.random.Generator) -> Speech:
    """Another speed, level, room, noise and line."""
    pcm, target, weight = clip.pcm, clip.target, clip.weight
    factor = rng.uniform(_SLOWEST, 1.25)
    frames = int(len(target) / factor) - 1
    if rng.random() < 0.6 and frames > 0:
        centre = (factor - 1) / 2  # frame centres, not edges, keep their place
        pcm = resample(pcm, factor, 0, frames * CHUNK_SAMPLES)
        target, weight = (resample(values, factor, centre, frames) for values in (target, weight))
        weight = np.floor(weight)
    if rng.random() < 0.8:
        pcm = disturb(pcm, bank, rng)
    return Speech(clip.corpus, pcm, target, weight)


class Examples:
    """Everything that is trained on, frame by frame; `mel` has `PRESS_FRAMES` frames of nothing before each clip."""

    def __init__(self, network: StyleSyncFormer) -> None:
        """Start without an example; `network` stays as it is."""
        self._network = network
        self._mel: list[Tensor] = []
        self._audio: list[Tensor] = []
        self._newest: list[Tensor] = []
        self._target: list[Array] = []
        self._weight: list[Array] = []
        self._corpus: list[str] = []
        self._frames = 0

    @torch.inference_mode()
    def add(self, clip: Speech, warp: torch.Generator | None = None) -> None:
        """Add a clip; with `warp` of another vocal tract and microphone."""
        network, delay, frames = self._network, self._network.config.delay, len(clip.target)
        pcm = torch.from_numpy(np.pad(clip.pcm, (0, delay * CHUNK_SAMPLES)))[None]
        state = network.init_state(1, frames + delay)
        mel = network.mel.step(pcm, state.mel)
        mel = mel if warp is None else disturb_mel(mel, warp)
        audio = network.process_audio(mel, state)[0, delay:]
        heard = F.pad(network.press.heard(normalised(mel), frames + delay)[0], (0, 0, PRESS_FRAMES, 0))
        self._mel.append(heard.half())
        self._audio.append(audio.half())
        self._newest.append(self._frames + PRESS_FRAMES + delay + torch.arange(frames))
        self._frames += len(heard)
        self._target.append(clip.target)
        self._weight.append(clip.weight)
        self._corpus += [clip.corpus] * frames

    def join(self) -> None:
        """Make one tensor of each; `weight` becomes the chance of a frame to be drawn."""
        self.mel, self.audio, self.newest = (torch.cat(parts) for parts in (self._mel, self._audio, self._newest))
        self.target = torch.from_numpy(np.concatenate(self._target)).float()
        self.weight = torch.from_numpy(balanced(np.concatenate(self._weight), np.array(self._corpus)))

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Windows `[count, PRESS_FRAMES * mel_width]`, audio features `[count, C]` and targets `[count]`."""
        rows = torch.multinomial(self.weight, count, replacement=True, generator=generator)
        windows = self.mel[self.newest[rows][:, None] + torch.arange(1 - PRESS_FRAMES, 1)].flatten(1)
        return windows.float(), self.audio[rows].float(), self.target[rows]


def balanced(weight: Array, corpus: NDArray[np.str_]) -> NDArray[np.float64]:
    """Weights of frames that give each corpus its share."""
    shares = weight.astype(np.float64)
    for name, share in SHARES.items():
        inside = corpus == name
        shares[inside] *= share / max(shares[inside].sum(), 1e-9)
    return shares


def collect(network: StyleSyncFormer, clips: list[Speech], config: ClosureConfig) -> Examples:
    """Hear every clip as it is, and disturbed copies of those without a picture."""
    rng, warp = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    bank = NoiseBank(30, int(_LONGEST / _SLOWEST + 1) * CHUNK_SAMPLES, rng, [clip.pcm for clip in clips[::40]])
    examples = Examples(network)
    for clip in tqdm(clips, desc="hearing"):
        examples.add(clip)
        for _ in range(0 if clip.corpus in FILMED else config.copies):
            examples.add(disturbed(clip, bank, rng), warp if rng.random() < 0.6 else None)
    examples.join()
    return examples


def train_press(press: LipPress, examples: Examples, config: ClosureConfig) -> list[float]:
    """Train the press from random weights; returns the loss of every step."""
    torch.manual_seed(config.seed)
    torch.nn.init.kaiming_uniform_(press.out.weight, a=5**0.5)
    torch.nn.init.zeros_(press.out.bias)
    generator = torch.Generator().manual_seed(config.seed)
    optimiser = torch.optim.AdamW(press.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.02, cycle_momentum=False
    )
    losses = []
    for _ in tqdm(range(config.steps), desc="press"):
        windows, audio, target = examples.draw(config.batch, generator)
        logits = press.logits(windows, audio)
        loss = F.binary_cross_entropy_with_logits(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        press.out.weight.mul_(config.gain)
        press.out.bias.mul_(config.gain).add_(config.bias)
    return losses


def main(argv: list[str] | None = None) -> int:
    """Make the corpus where it is missing, train the press, and write the network with it."""
    parser = argparse.ArgumentParser(description="Train what presses the lips on b, m and p.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--weights", type=Path, default=Path("models/weights/syncformer.safetensors"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=ClosureConfig.steps)
    parser.add_argument("--gain", type=float, default=ClosureConfig.gain)
    parser.add_argument("--bias", type=float, default=ClosureConfig.bias)
    options = parser.parse_args(argv)
    write_all(options.data, options.cache)
    network = StyleSyncFormer.load(options.weights)
    clips = [*synthetic_and_read(options.cache / "closures"), *filmed(options.cache)]
    config = ClosureConfig(steps=options.steps, gain=options.gain, bias=options.bias)
    losses = train_press(network.press, collect(network, clips, config), config)
    print(f"cross-entropy {np.mean(losses[-100:]):.3f}")
    network.save(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
