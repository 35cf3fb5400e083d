"""The audio-to-motion network streams: chunked = whole, causal, resettable, separable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models import half_linear
from models.half_linear import use_half_weights
from models.mel import HOP, WINDOW, LogMel
from models.style import ARTICULATION
from models.syncformer import CHUNK_SAMPLES, StyleSyncFormer, SyncFormerConfig
from models.transformer import CausalTransformer

CONTEXT = 5
FRAMES = 4 * CONTEXT
CONFIG = SyncFormerConfig(
    mel_bands=16, dim=16, heads=2, audio_layers=2, style_layers=1, context=CONTEXT, style_dim=4, coefficients=6
)
UNEVEN = [3, 1, 1, 4, 2, 1, 3, 5]  # sums to FRAMES; the rest of the cases are regular
MAX_CHUNK = 7


def chunkings(total: int) -> list[list[int]]:
    """Chunk lengths of 1, 2, 3 and 7 (the most the state allows), and an uneven split."""
    regular = [[size] * (total // size) + ([total % size] if total % size else []) for size in (1, 2, 3, MAX_CHUNK)]
    return [*regular, UNEVEN]


@pytest.fixture(params=["float32", "half weights"])
def model(request: pytest.FixtureRequest) -> StyleSyncFormer:
    """A tiny network, as it is trained and as it runs live."""
    network = random_network()
    if request.param == "half weights":
        if not half_linear.is_available():
            pytest.skip("no FBGEMM on this machine")
        use_half_weights(network)
    return network


def random_network() -> StyleSyncFormer:
    """Random weights everywhere, also where training starts from zero."""
    torch.manual_seed(0)
    network = StyleSyncFormer(CONFIG)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    torch.nn.init.normal_(network.basis)
    torch.nn.init.zeros_(network.press.out.bias)  # it presses
    network._read_basis()
    return network.eval()


@pytest.fixture
def pcm() -> Tensor:
    """Two rows of noise, `[2, FRAMES chunks]`."""
    return 0.1 * torch.randn(2, FRAMES * CHUNK_SAMPLES, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def style() -> Tensor:
    """A style for each row."""
    return torch.randn(2, CONFIG.style_dim + ARTICULATION, generator=torch.Generator().manual_seed(2))


def run_chunked(step: Callable[[Tensor], Tensor], x: Tensor, lengths: list[int], unit: int = 1) -> Tensor:
    """Pass `x` along time in chunks of `lengths` units and join the outputs."""
    return torch.cat([step(piece) for piece in x.split([n * unit for n in lengths], 1)], 1)


def assert_near(got: Tensor, want: Tensor) -> None:
    """Require a relative error of at most 1e-5."""
    assert got.shape == want.shape
    assert (got - want).norm() <= 1e-5 * want.norm()


@pytest.mark.parametrize("lengths", chunkings(FRAMES))
@torch.inference_mode()
def test_network_chunked_equals_whole(model: StyleSyncFormer, pcm: Tensor, style: Tensor, lengths: list[int]) -> None:
    state = model.init_state(2, MAX_CHUNK)
    got = run_chunked(lambda x: model.step(x, style, state), pcm, lengths, CHUNK_SAMPLES)
    assert_near(got, model(pcm, style))


@pytest.mark.parametrize("lengths", chunkings(FRAMES))
@torch.inference_mode()
def test_transformer_chunked_equals_whole(lengths: list[int]) -> None:
    torch.manual_seed(0)
    layers = CausalTransformer(16, 2, 3, CONTEXT).eval()
    x = torch.randn(2, FRAMES, 16)
    state = layers.init_state(2, MAX_CHUNK)
    assert_near(run_chunked(lambda part: layers.step(part, None, state), x, lengths), layers(x))


@pytest.mark.parametrize("lengths", chunkings(FRAMES))
def test_mel_of_uneven_pcm_equals_whole(pcm: Tensor, lengths: list[int]) -> None:
    mel = LogMel(16)
    state = mel.init_state(2)
    samples = pcm[:, : FRAMES * HOP]
    assert_near(run_chunked(lambda x: mel.step(x, state), samples, lengths, HOP), mel(samples))


def test_mel_window_ends_with_its_hop() -> None:
    samples = torch.zeros(1, 6 * HOP, requires_grad=True)
    LogMel(16)(samples + 0.01 * torch.randn(1, 6 * HOP))[0, 4].sum().backward()
    assert samples.grad is not None
    touched = samples.grad[0].nonzero().flatten()
    assert touched.max() < 5 * HOP
    assert touched.min() >= 5 * HOP - WINDOW


@torch.inference_mode()
def test_future_never_changes_the_past(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    before = model(pcm, style)
    changed = pcm.clone()
    changed[:, 9 * CHUNK_SAMPLES :] += 0.5
    after = model(changed, style)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9], after[:, 9])


def test_receptive_field_is_exact(style: Tensor) -> None:
    model = random_network()
    layers = CONFIG.audio_layers + CONFIG.style_layers
    frames = layers * (CONTEXT - 1) + 8
    pcm = (0.1 * torch.randn(1, frames * CHUNK_SAMPLES)).requires_grad_()
    step = frames - 2
    model(pcm, style[:1])[0, step].sum().backward()
    assert pcm.grad is not None
    touched = pcm.grad[0].nonzero().flatten()
    # Two stem layers of kernel 6 and stride 2 reach 6 + 5 * 2 = 16 mel frames; each attention adds context - 1.
    mel_frames = (layers * (CONTEXT - 1)) * 4 + 16
    first = (step + 1) * CHUNK_SAMPLES - mel_frames * HOP - (WINDOW - HOP)
    assert touched.max() < (step + 1) * CHUNK_SAMPLES
    assert first <= touched.min() <= first + 2  # the window is zero at its very edge


def test_latency_in_samples(model: StyleSyncFormer) -> None:
    assert CONFIG.delay == 2
    assert model.latency_samples == 1280
    with pytest.raises(ValueError, match="delay 6"):
        StyleSyncFormer(SyncFormerConfig(delay=6))


@torch.inference_mode()
def test_reset_row_equals_fresh_row_and_leaves_others(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    first, second = pcm.split([11 * CHUNK_SAMPLES, (FRAMES - 11) * CHUNK_SAMPLES], 1)
    kept, reset = model.init_state(2, FRAMES), model.init_state(2, FRAMES)
    model.step(first, style, kept)
    model.step(first, style, reset)
    reset.reset(torch.tensor([True, False]))
    unbroken, after = model.step(second, style, kept), model.step(second, style, reset)
    assert torch.equal(after[1], unbroken[1])
    assert_near(after[:1], model(second[:1], style[:1]))


@torch.inference_mode()
def test_snapshot_and_restore(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    first, second = pcm.chunk(2, 1)
    state = model.init_state(2, FRAMES)
    model.step(first, style, state)
    saved = state.snapshot()
    once = model.step(second, style, state)
    state.restore(saved)
    assert torch.equal(model.step(second, style, state), once)


@torch.inference_mode()
def test_interleaved_sessions_equal_separate_ones(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    sessions = [model.init_state(1, 2) for _ in range(2)]
    outputs: list[list[Tensor]] = [[], []]
    for chunk in pcm.split(2 * CHUNK_SAMPLES, 1):
        for row, state in enumerate(sessions):
            outputs[row].append(model.step(chunk[row : row + 1], style[row : row + 1], state))
    for row in range(2):
        alone = model.init_state(1, 2)
        want = run_chunked(
            lambda x, row=row, alone=alone: model.step(x, style[row : row + 1], alone),  # type: ignore[misc]
            pcm[row : row + 1],
            [2] * (FRAMES // 2),
            CHUNK_SAMPLES,
        )
        assert torch.equal(torch.cat(outputs[row], 1), want)


@torch.inference_mode()
def test_hours_of_stream_change_nothing(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    """Rotary positions stay exact: the same audio gives the same motion a day into a stream."""
    state = model.init_state(2, FRAMES)
    for stack in (state.audio, state.motion):
        stack.steps += 24 * 3600 * 25
        for ring in stack.blocks:  # reset: steps before the clip must not be attended
            ring.keys.zero_()
            ring.values.zero_()
    fresh = model.init_state(2, FRAMES)
    model.step(pcm, style, state)
    model.step(pcm, style, fresh)
    late, early = model.step(pcm, style, state), model.step(pcm, style, fresh)
    assert_near(late[:, -1:], early[:, -1:])


def test_bad_chunks_are_refused(model: StyleSyncFormer, pcm: Tensor, style: Tensor) -> None:
    state = model.init_state(2, 2)
    with pytest.raises(ValueError, match="multiple of 640"):
        model.step(pcm[:, :700], style, state)
    with pytest.raises(ValueError, match="at most 2 steps"):
        model.step(pcm[:, : 3 * CHUNK_SAMPLES], style, state)
