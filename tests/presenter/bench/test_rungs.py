"""What the rungs of the quality ladder cost, on the shipped presenter."""

from pathlib import Path

from models.compositor import FrameCompositor
from presenter.bench.rungs import rung_costs
from presenter.config import load_config
from presenter.runtime.engine import Engine
from presenter.runtime.identities import DEFAULT, IdentityStore


def test_each_rung_costs_less_than_the_one_above(tmp_path: Path) -> None:
    engine, stored = Engine.load(load_config("tiny")), IdentityStore(tmp_path).load(DEFAULT).shrunk(512)
    costs = rung_costs(FrameCompositor(stored.identity, engine.folded(stored)))
    print(costs)
    used = [cost for name, cost in costs.items() if "moving head" in name]
    assert costs["full"] > used[0] > used[1] > costs["every third frame"] > 0
    assert used[0] < 0.8 * costs["full"], "keeping the mouth pays"
