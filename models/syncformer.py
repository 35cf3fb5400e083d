"""Style-SyncFormer: live speech to mesh displacement, strictly causal, with all look-ahead in one place.

PCM -> causal log-mel -> causal convolution stem (stride 4) -> audio Transformer -> style-injected Transformer
-> coefficients of a displacement basis. Every layer is causal; the head for delay L is trained to emit frame
`t - L` after chunk t was processed, so that the latency is exactly L chunks.

Source: ReSyncer (ECCV 2024, arXiv 2408.03284), reconstructed from its abstract and reviews; differs in being
causal, in taking log-mel instead of wav2vec2 features, and in an encoder-only Transformer without feedback.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import Schedule
from models.checkpoint import load_checkpoint, save_checkpoint
from models.errors import CheckpointError
from models.lip_press import PRESS_FRAMES, LipPress, pressed
from models.mel import HOP, LogMel, MelState
from models.mesh import NUM_VERTICES
from models.motion_basis import Array, mouth_rows, to_coefficients
from models.streaming import State
from models.style import ARTICULATION, StyleEncoder, articulated, fit_articulation
from models.transformer import CausalTransformer, TransformerState

CHUNK_SAMPLES = 640  # one video frame at 25 fps and 16 kHz
_MEL_PER_CHUNK = CHUNK_SAMPLES // HOP
_STEM_KERNEL = 6
_STEM_STRIDE = 2


@dataclass(frozen=True, kw_only=True)
class SyncFormerConfig:
    """Sizes of a `StyleSyncFormer`."""

    mel_bands: int = 80
    dim: int = 192
    heads: int = 6
    audio_layers: int = 4
    style_layers: int = 2
    context: int = 64  # frames each layer sees, the current one included: 2.56 s
    style_dim: int = 32
    coefficients: int = 32  # of the displacement basis
    delays: int = 6  # heads for 0..delays-1 frames of look-ahead
    delay: int = 2  # the head that runs: 80 ms


@dataclass(slots=True)
class SyncFormerState(State):
    """Everything one batch of streams remembers."""

    mel: MelState
    stem: list[Tensor]  # inputs each stem convolution still needs, [B, C, kernel - stride]
    audio: TransformerState
    motion: TransformerState
    press: Tensor  # log-mel of the frames that the next one is heard with, [B, PRESS_FRAMES - 1, 2 bands]


def normalised(mel: Tensor) -> Tensor:
    """Log-mel of about zero mean and unit variance in speech."""
    return (mel + 8.0) / 4.0


def _windows(x: Tensor) -> Tensor:
    """The windows `[B, n, C * kernel]` of `x [B, C, T]` that a convolution of the stem multiplies.

    As a product it takes a fifth of the time that PyTorch's convolution takes of so few steps.
    """
    return x.unfold(-1, _STEM_KERNEL, _STEM_STRIDE).transpose(1, 2).flatten(2)


class StyleSyncFormer(nn.Module):
    """Speech and a speaking style to motion coefficients; see the module docstring."""

    basis: Tensor
    jaw: Tensor
    null_style: Tensor
    _rows: Tensor
    _columns: Tensor

    def __init__(self, config: SyncFormerConfig) -> None:
        """Create a network with random weights and an empty basis."""
        super().__init__()
        if not 0 <= config.delay < config.delays:
            raise ValueError(f"delay {config.delay} must be one of the {config.delays} heads")
        self.config = config
        self.mel = LogMel(config.mel_bands)
        self._stem_widths = (config.mel_bands, config.dim)
        self.stem = nn.ModuleList(nn.Linear(width * _STEM_KERNEL, config.dim) for width in self._stem_widths)
        self.audio = CausalTransformer(config.dim, config.heads, config.audio_layers, config.context)
        self.motion = CausalTransformer(config.dim, config.heads, config.style_layers, config.context, config.style_dim)
        self.outputs = nn.ModuleList(nn.Linear(config.dim, config.coefficients) for _ in range(config.delays))
        self._press_width = LipPress.width_of(config.mel_bands, _MEL_PER_CHUNK)
        self.press = LipPress(self._press_width, config.dim)
        self.style = StyleEncoder(config.coefficients, config.style_dim)
        self.register_buffer("basis", torch.zeros(config.coefficients, NUM_VERTICES * 3))
        # How each coordinate goes with the lips' opening besides what the basis says; see docs/adr/0021-jaw.md.
        self.register_buffer("jaw", torch.zeros(NUM_VERTICES * 3))
        self.register_buffer("null_style", torch.zeros(1, config.style_dim + ARTICULATION), persistent=False)
        self.register_buffer("_rows", torch.zeros(2, config.coefficients), persistent=False)
        self.register_buffer("_columns", torch.zeros(config.coefficients, 2), persistent=False)

    @property
    def latency_samples(self) -> int:
        """Look-ahead in samples: motion that comes out of a step belongs to audio this much earlier."""
        return self.config.delay * CHUNK_SAMPLES

    def init_state(self, batch_size: int = 1, max_chunk: int = 4) -> SyncFormerState:
        """Return fresh state for `batch_size` streams and steps of up to `max_chunk` frames."""
        overlap = _STEM_KERNEL - _STEM_STRIDE
        weight = self.null_style
        with torch.no_grad():
            return SyncFormerState(
                mel=self.mel.init_state(batch_size),
                stem=[weight.new_zeros(batch_size, width, overlap) for width in self._stem_widths],
                audio=self.audio.init_state(batch_size, max_chunk),
                motion=self.motion.init_state(batch_size, max_chunk),
                press=weight.new_zeros(batch_size, PRESS_FRAMES - 1, self._press_width),
            )

    def process_audio(self, mel: Tensor, state: SyncFormerState, schedule: Schedule | None = None) -> Tensor:
        """Encode log-mel `[B, 4 n, bands]` to audio features `[B, n, C]`, updating `state` in place."""
        x = normalised(mel).transpose(1, 2)
        for conv, tail in zip(self.stem, state.stem, strict=True):
            joined = torch.cat([tail, x], -1)
            tail.copy_(joined[..., -tail.shape[-1] :].detach())
            x = F.gelu(conv(_windows(joined)).transpose(1, 2), approximate="tanh")
        return self.audio.step(x.transpose(1, 2), None, state.audio, schedule)

    def shut(self, mel: Tensor, audio: Tensor, state: SyncFormerState) -> Tensor:
        """How shut the lips should be `[B, n]`, from log-mel and audio features, updating `state` in place."""
        return self.press.step(normalised(mel), audio, state.press)

    def pressed(self, coefficients: Tensor, shut: Tensor) -> Tensor:
        """Coefficients `[B, n, K]` with lips that are open only as far as `shut` `[B, n]` leaves them."""
        return pressed(coefficients, shut, self._rows[0], self._columns[:, 0])

    def move(self, audio: Tensor, style: Tensor, state: SyncFormerState, schedule: Schedule | None = None) -> Tensor:
        """Turn audio features `[B, n, C]` into motion features `[B, n, C]` under style `[B, S]`."""
        return self.motion.step(audio, style, state.motion, schedule)

    def step(self, pcm: Tensor, style: Tensor, state: SyncFormerState) -> Tensor:
        """Process the next chunks and predict motion, updating `state` in place.

        Args:
            pcm: samples `[B, 640 n]`, float32 in -1..1 at 16 kHz.
            style: speaking style `[B, S + ARTICULATION]`, of `speaking_style`; `null_style` for none, a multiple
                for a weaker or stronger one.
            state: from `init_state`.

        Returns:
            Coefficients `[B, n, K]`; step t belongs to frame `t - delay`.

        Raises:
            ValueError: if the samples are not whole chunks, or more than the state allows.
        """
        if pcm.shape[1] % CHUNK_SAMPLES:
            raise ValueError(f"expected a multiple of {CHUNK_SAMPLES} samples, got {pcm.shape[1]}")
        # Both stacks have the same context and have seen as many frames.
        schedule = self.audio.schedule(pcm.shape[1] // CHUNK_SAMPLES, state.audio)
        mel = self.mel.step(pcm, state.mel)
        audio = self.process_audio(mel, state, schedule)
        code, articulation = style.expand(pcm.shape[0], -1).tensor_split([self.config.style_dim], 1)
        hidden = self.move(audio, code, state, schedule)
        coefficients: Tensor = self.outputs[self.config.delay](hidden)
        coefficients = articulated(coefficients, articulation, self._rows, self._columns)
        return self.pressed(coefficients, self.shut(mel, audio, state))

    def forward(self, pcm: Tensor, style: Tensor) -> Tensor:
        """Return the coefficients of whole clips `[B, 640 n]`: `step` over a fresh state."""
        return self.step(pcm, style, self.init_state(pcm.shape[0], max(pcm.shape[1] // CHUNK_SAMPLES, 1)))

    def displacement(self, coefficients: Tensor) -> Tensor:
        """Coefficients `[B, T, K]` to mesh displacement `[B, T, 478, 3]`, in inter-ocular distances."""
        flat = coefficients @ self.basis + (coefficients @ self._rows[0])[..., None] * self.jaw
        return flat.view(*flat.shape[:-1], NUM_VERTICES, 3)

    def movements(self) -> Array:
        """What one unit of each coefficient displaces `[K, 478, 3]`."""
        with torch.inference_mode():
            moved: Array = (
                self.displacement(torch.eye(self.config.coefficients, device=self.basis.device)).cpu().numpy()
            )
        return moved

    def padded_style(self, style: Tensor | None) -> Tensor:
        """A speaking style as `step` takes it `[1, S + ARTICULATION]`; None is the neutral one.

        Raises:
            CheckpointError: if it was made by a network of another size.
        """
        if style is None:
            return self.null_style
        size = self.null_style.shape[1]
        # A style of the time before articulation was part of it has the code alone.
        if style.numel() not in (size, self.config.style_dim):
            raise CheckpointError(f"expected a speaking style of {size} numbers, got {style.numel()}; make it again")
        return F.pad(style.reshape(1, -1).to(self.null_style), (0, size - style.numel()))

    def speaking_style(self, displacement: Array) -> Tensor:
        """The speaking style `[S + ARTICULATION]` of a clip's mesh displacement from rest `[T, 478, 3]`."""
        basis = self.basis.cpu().numpy()
        coefficients = to_coefficients(displacement, basis)
        with torch.inference_mode():
            code = self.encode_style(torch.from_numpy(coefficients)[None].to(self.basis.device))[0].cpu()
        return torch.cat([code, fit_articulation(coefficients @ mouth_rows(basis).T)]).clone()

    def encode_style(self, coefficients: Tensor) -> Tensor:
        """Pool the motion of a clip `[B, T, K]` to a style code `[B, S]`."""
        style: Tensor = self.style(coefficients)
        return style

    def _read_basis(self) -> None:
        rows = mouth_rows(self.basis.cpu().numpy())
        self._rows.copy_(torch.from_numpy(rows))
        self._columns.copy_(torch.from_numpy(np.linalg.pinv(rows)))

    def save(self, path: Path, dtype: torch.dtype = torch.float16) -> None:
        """Write weights and configuration; half precision halves the file and costs nothing audible."""
        tensors = {name: tensor.to(dtype) for name, tensor in self.state_dict().items()}
        save_checkpoint(path, tensors, {"syncformer": asdict(self.config)})

    @classmethod
    def load(cls, path: Path) -> StyleSyncFormer:
        """Rebuild a network from a checkpoint alone, in evaluation mode, float32.

        Raises:
            CheckpointError: if there is no such file, or it is not a SyncFormer checkpoint.
        """
        tensors, config = load_checkpoint(path)
        if "syncformer" not in config:
            raise CheckpointError(f"{path}: expected a SyncFormer checkpoint, got keys {sorted(config)}")
        model = cls(SyncFormerConfig(**config["syncformer"]))
        # Earlier files have no jaw and press no lips, and hold the stem's weights as those of convolutions.
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        later = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(("jaw", "press."))}
        tensors = later | tensors
        model.load_state_dict({name: tensor.float().view(shapes.get(name, -1)) for name, tensor in tensors.items()})
        model._read_basis()
        return model.eval()
