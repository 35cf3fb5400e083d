"""Average the weights of several trainings of the causal network that began from the same one.

The average of fine-tunings, and of a fine-tuning with what it began from, generalises better than each: new voices
are learnt and the old speaker is kept. Source: Wortsman et al. 2022, "Model soups" and "Robust fine-tuning of
zero-shot models".
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from models.motion_basis import mouth_rows
from models.syncformer import StyleSyncFormer
from models.training.motion_teacher import amplify


def average(parts: list[tuple[float, StyleSyncFormer]]) -> StyleSyncFormer:
    """Return the weighted mean of networks of one size; weights need not sum to one.

    Raises:
        ValueError: if there is none, or if sizes or displacement bases differ.
    """
    if not parts:
        raise ValueError("expected at least one checkpoint, got none")
    first = parts[0][1]
    for _, other in parts[1:]:
        if other.config != first.config:
            raise ValueError(f"expected checkpoints of one size, got {first.config} and {other.config}")
        if not other.basis.allclose(first.basis):
            raise ValueError("expected checkpoints with one displacement basis, got two: retrain one of them")
    total = sum(weight for weight, _ in parts)
    states = [(weight / total, network.state_dict()) for weight, network in parts]
    mean = StyleSyncFormer(first.config)
    mean.load_state_dict({key: sum(share * state[key] for share, state in states) for key in states[0][1]})
    return mean.eval()


def emphasise(model: StyleSyncFormer, opening: float, width: float) -> None:
    """Scale how far lips open and mouths widen, in place: training by regression shrinks what it is unsure of.

    The closed mouth stays closed, and correlations stay what they were.
    """
    rows = mouth_rows(model.basis.numpy())
    factors = np.array([opening, width], np.float32)
    with torch.no_grad():
        for head in cast(list[nn.Linear], list(model.outputs)):
            head.weight.copy_(torch.from_numpy(amplify(head.weight.numpy().T, rows, factors).T))
            head.bias.copy_(torch.from_numpy(amplify(head.bias.numpy()[None], rows, factors)[0]))


def main(argv: list[str] | None = None) -> int:
    """Average checkpoints given as `WEIGHT=PATH`."""
    parser = argparse.ArgumentParser(description="Average checkpoints of the causal network.")
    parser.add_argument("parts", nargs="+", metavar="WEIGHT=PATH")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opening", type=float, default=1.0, help="factor of the lip opening")
    parser.add_argument("--width", type=float, default=1.0, help="factor of the mouth width's motion")
    options = parser.parse_args(argv)
    pairs = [part.partition("=") for part in options.parts]
    mean = average([(float(weight), StyleSyncFormer.load(Path(path))) for weight, _, path in pairs])
    emphasise(mean, options.opening, options.width)
    mean.save(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
