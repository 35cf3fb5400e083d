"""Average the weights of several trainings of the causal network that began from the same one.

The average of fine-tunings, and of a fine-tuning with what it began from, generalises better than each: new voices
are learnt and the old speaker is kept. Source: Wortsman et al. 2022, "Model soups" and "Robust fine-tuning of
zero-shot models".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from models.syncformer import StyleSyncFormer


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


def main(argv: list[str] | None = None) -> int:
    """Average checkpoints given as `WEIGHT=PATH`."""
    parser = argparse.ArgumentParser(description="Average checkpoints of the causal network.")
    parser.add_argument("parts", nargs="+", metavar="WEIGHT=PATH")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    pairs = [part.partition("=") for part in options.parts]
    average([(float(weight), StyleSyncFormer.load(Path(path))) for weight, _, path in pairs]).save(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
