"""Linear layers whose weights stay in half precision, as they are in a checkpoint, while all sums are in float32.

One step of a live stream multiplies each weight once, so that reading 13 MB of weights is most of its cost; half of
that costs half as much. Nothing is lost: a checkpoint holds half precision already (`StyleSyncFormer.save`).

The kernels are FBGEMM's, which PyTorch brings along on x86; for inference only.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


class HalfLinear(nn.Module):
    """What a linear layer computes, from its weights rounded to half precision.

    Args:
        linear: On a CPU.

    Raises:
        RuntimeError: If this machine can't do it.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        if not is_available():
            raise RuntimeError("expected PyTorch with FBGEMM, found none")
        self._bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        with warnings.catch_warnings():  # once each, of their removal from a later PyTorch than the required one
            warnings.simplefilter("ignore", UserWarning)
            self._packed = torch.fbgemm_pack_gemm_matrix_fp16(linear.weight.detach().float())
            self(torch.zeros(1, linear.in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x [..., C]`, float32; returns `[..., C']`."""
        y: Tensor = torch.fbgemm_linear_fp16_weight_fp32_activation(x, self._packed, self._bias)
        return y


def is_available() -> bool:
    """Whether this build of PyTorch can do it."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def use_half_weights(network: nn.Module) -> None:
    """Replace every linear layer of a network, in place."""
    for name, child in network.named_children():
        if isinstance(child, nn.Linear):
            setattr(network, name, HalfLinear(child))
        else:
            use_half_weights(child)
