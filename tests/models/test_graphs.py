"""CUDA graphs replay what the step does."""

import pytest
import torch

from models.graphs import CUDAGraphed, graphed

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_on_a_cpu_the_step_is_itself():
    def step(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    assert graphed(step, torch.device("cpu")) is step


@pytest.mark.gpu
@needs_gpu
def test_replay_equals_eager_and_keeps_state():
    counter = torch.zeros(1, device="cuda")

    def step(x: torch.Tensor) -> torch.Tensor:
        counter.add_(1)
        return x * counter

    graph = CUDAGraphed(step)
    graph.capture(torch.ones(4, device="cuda"))
    counter.zero_()
    for k in range(1, 101):
        x = torch.randn(4, device="cuda")
        torch.testing.assert_close(graph(x), x * k)
    with pytest.raises(ValueError, match="expected"):
        graph(torch.ones(5, device="cuda"))
