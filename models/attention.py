"""Causal windowed self-attention with rotary positions and a ring cache of keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.streaming import State


@dataclass(slots=True)
class AttentionState(State):
    """Ring of the last keys (already rotated) and values of each row."""

    keys: Tensor  # [B, H, R, D]
    values: Tensor  # [B, H, R, D]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Where a chunk of steps lies in time and in the ring; the same for every layer of a stack."""

    cos: Tensor  # [B, 1, T, D] rotary code of the steps, the same for both halves
    sin: Tensor  # [B, 1, T, D], negative in the first half
    slots: Tensor  # [B, T] ring slot that each step writes
    bias: Tensor  # [B, 1, T, R] 0 where a step may look, hugely negative elsewhere

    @classmethod
    def of(cls, steps: Tensor, chunk: int, capacity: int, context: int, head_dim: int) -> Schedule:
        """Place the next `chunk` steps of streams that have seen `steps` `[B]` (int64) steps.

        The rotary angle is taken in float64 before it is wrapped: a float32 product loses the fraction of a
        turn after some hours of stream.
        """
        positions = steps[:, None] + torch.arange(chunk, device=steps.device)  # [B, T]
        half = head_dim // 2
        frequencies = 1000.0 ** (-torch.arange(half, device=steps.device, dtype=torch.float64) / half)
        angles = positions[:, None, :, None].double() * frequencies
        last = positions[:, -1:]
        held = last - (last - torch.arange(capacity, device=steps.device)) % capacity  # [B, R] newest on each slot
        distance = positions[:, :, None] - held[:, None, :]
        allowed = (distance >= 0) & (distance < context) & (held >= 0)[:, None, :]
        bias = torch.zeros(allowed.shape, device=steps.device).masked_fill_(~allowed, -1e9)[:, None]
        cos, sin = angles.cos().float(), angles.sin().float()
        return cls(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1), positions % capacity, bias)

    def rotate(self, x: Tensor) -> Tensor:
        """Apply the rotary code to queries and keys `[..., B, H, T, D]`; returns float32."""
        return torch.addcmul(x * self.cos, x.roll(x.shape[-1] // 2, -1), self.sin)


class CausalAttention(nn.Module):
    """Multi-head attention of each step to itself and the `context - 1` steps before it.

    Keys and values are written before they are read, so that the ring needs `context + chunk - 1` slots for
    the first query of a chunk still to find its whole context.
    """

    def __init__(self, dim: int, heads: int, context: int) -> None:
        """Create projections for `heads` heads; `context` counts the current step."""
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"dim {dim} must be a multiple of twice the {heads} heads")
        self.heads = heads
        self.head_dim = dim // heads
        self.context = context
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def init_state(self, batch_size: int, max_chunk: int, like: Tensor) -> AttentionState:
        """Return an empty ring for chunks of up to `max_chunk` steps, of the type and on the device of `like`."""
        shape = (batch_size, self.heads, self.context + max_chunk - 1, self.head_dim)
        return AttentionState(keys=like.new_zeros(shape), values=like.new_zeros(shape))

    def step(self, x: Tensor, schedule: Schedule, state: AttentionState) -> Tensor:
        """Attend from the next `T` steps `[B, T, C]`, updating `state` in place; returns `[B, T, C]`."""
        B, T, C = x.shape
        projected = self.qkv(x).view(B, T, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        v = projected[2]
        q, k = schedule.rotate(projected[:2]).unbind(0)
        slots = schedule.slots[:, None, :, None].expand_as(k)
        state.keys.scatter_(2, slots, k)
        state.values.scatter_(2, slots, v.to(state.values.dtype))
        keys, values = state.keys.to(v.dtype), state.values.to(v.dtype)
        # Plain products: on a CPU they train half again as fast as the fused kernel at these sizes.
        scores = (q.to(v.dtype) @ keys.transpose(-1, -2)).float()
        y = torch.add(schedule.bias, scores, alpha=self.head_dim**-0.5).softmax(-1).to(v.dtype) @ values
        joined: Tensor = self.out(y.transpose(1, 2).reshape(B, T, C))
        return joined
