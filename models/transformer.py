"""Causal Transformer blocks; the speaking style modulates their normalisation (AdaLN)."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.attention import AttentionState, CausalAttention, Schedule
from models.streaming import State


@dataclass(slots=True)
class TransformerState(State):
    """One ring per block, and how many steps each stream has seen."""

    blocks: list[AttentionState]
    steps: Tensor  # [B] int64, on the device: a captured graph must advance it


class Block(nn.Module):
    """Pre-norm attention and feed-forward, with a style code when `style_dim` is not 0.

    Style enters as scale, shift and gate of both branches, zero at the start of training, so that a fresh
    styled block equals a plain one. Source: AdaLN-zero (Peebles and Xie 2023), with the gate as `1 + g`.
    """

    def __init__(self, dim: int, heads: int, context: int, style_dim: int = 0, residual_std: float = 0.02) -> None:
        """Create a block of width `dim`; its branches start with output weights of spread `residual_std`."""
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = CausalAttention(dim, heads, context)
        self.norm_feed = nn.LayerNorm(dim)
        leave = nn.Linear(4 * dim, dim)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), leave)
        for linear in (self.attention.out, leave):
            nn.init.normal_(linear.weight, std=residual_std)
        self.modulation = nn.Linear(style_dim, 6 * dim) if style_dim else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def step(self, x: Tensor, style: Tensor | None, schedule: Schedule, state: AttentionState) -> Tensor:
        """Advance by `T` steps `[B, T, C]` under style `[B, S]`, updating `state` in place."""
        if self.modulation is None or style is None:
            x = x + self.attention.step(self.norm_attention(x), schedule, state)
            y: Tensor = x + self.feed(self.norm_feed(x))
            return y
        codes = self.modulation(style)[:, None].chunk(6, -1)  # each [B, 1, C]
        hidden = torch.addcmul(codes[1], self.norm_attention(x), 1 + codes[0])
        x = torch.addcmul(x, 1 + codes[2], self.attention.step(hidden, schedule, state))
        hidden = torch.addcmul(codes[4], self.norm_feed(x), 1 + codes[3])
        y = torch.addcmul(x, 1 + codes[5], self.feed(hidden))
        return y


class CausalTransformer(nn.Module):
    """A stack of blocks with a final normalisation."""

    def __init__(self, dim: int, heads: int, layers: int, context: int, style_dim: int = 0) -> None:
        """Create `layers` blocks that share one width and one context."""
        super().__init__()
        self.context = context
        self.head_dim = dim // heads
        residual_std = 0.02 / (2 * layers) ** 0.5
        self.blocks = nn.ModuleList(Block(dim, heads, context, style_dim, residual_std) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def _each(self) -> list[Block]:
        return cast(list[Block], list(self.blocks))

    def init_state(self, batch_size: int, max_chunk: int) -> TransformerState:
        """Return empty rings for chunks of up to `max_chunk` steps."""
        return TransformerState(
            blocks=[block.attention.init_state(batch_size, max_chunk, self.norm.weight) for block in self._each()],
            steps=torch.zeros(batch_size, dtype=torch.int64, device=self.norm.weight.device),
        )

    def schedule(self, chunk: int, state: TransformerState) -> Schedule:
        """Place the next `chunk` steps; the same for every stack of this context that has seen as many.

        Raises:
            ValueError: if `chunk` exceeds that which the state was made for.
        """
        capacity = state.blocks[0].keys.shape[2]
        if chunk > capacity - self.context + 1:
            raise ValueError(f"expected at most {capacity - self.context + 1} steps, got {chunk}")
        return Schedule.of(state.steps, chunk, capacity, self.context, self.head_dim)

    def step(
        self, x: Tensor, style: Tensor | None, state: TransformerState, schedule: Schedule | None = None
    ) -> Tensor:
        """Advance by `T` steps `[B, T, C]`, updating `state` in place; returns `[B, T, C]`.

        Args:
            x: the steps.
            style: of each stream, or None for a stack without.
            state: from `init_state`.
            schedule: of these steps, if there is one already.

        Raises:
            ValueError: if `T` exceeds the chunk that the state was made for.
        """
        schedule = schedule or self.schedule(x.shape[1], state)
        state.steps.add_(x.shape[1])
        for block, block_state in zip(self._each(), state.blocks, strict=True):
            x = block.step(x, style, schedule, block_state)
        y: Tensor = self.norm(x)
        return y

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Run a whole sequence: `step` over a fresh state."""
        with torch.no_grad():
            state = self.init_state(x.shape[0], x.shape[1])
        return self.step(x, style, state)
