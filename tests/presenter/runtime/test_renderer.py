"""The live path from sound to frames, on the shipped networks and presenter."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from models import winograd
from models.backends import available
from models.device.slots import DeviceSlots
from models.head_motion import HeadPose, IdleMotion
from models.mesh import aperture
from models.metrics import psnr
from presenter.config import load_config
from presenter.errors import CapacityError, ConfigError
from presenter.runtime.engine import FRAME_SIZE, Engine
from presenter.runtime.identities import IdentityStore
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk


def chunks(count: int, seed: int, level: float = 0.1) -> list[AudioChunk]:
    rng = np.random.default_rng(seed)
    t = np.arange(count * CHUNK_SAMPLES) / 16000
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * np.clip(np.sin(2 * np.pi * 3 * t), 0, 1)
    pcm = (level * (buzz + 0.3 * rng.standard_normal(len(t)))).astype(np.float32)
    audio = np.zeros(PLAYOUT_SAMPLES, np.int16)
    return [
        AudioChunk(pcm[k * CHUNK_SAMPLES : (k + 1) * CHUNK_SAMPLES], audio, k * CHUNK_SAMPLES) for k in range(count)
    ]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return IdentityStore(tmp_path_factory.mktemp("own")).load("default").shrunk(512)


@pytest.fixture
def engine():
    config = load_config("tiny")
    return Engine.load(config, slots=3)


def render(renderer, sound):
    pairs = [pair for chunk in sound for pair in renderer.push(chunk)]
    return pairs + renderer.flush()


def test_every_chunk_gets_its_frame(engine, stored):
    renderer = engine.renderer(stored)
    sound = chunks(12, 0)
    pairs = render(renderer, sound)
    assert [chunk.pts for chunk, _ in pairs] == [chunk.pts for chunk in sound]
    assert all(chunk.pts == frame.pts for chunk, frame in pairs)
    assert all(frame.rgb.shape == (*renderer.size, 3) for _, frame in pairs)


def test_look_ahead_is_80_ms(engine, stored):
    renderer = engine.renderer(stored)
    assert renderer.latency_samples == 1280
    lengths = [len(renderer.push(chunk)) for chunk in chunks(5, 0)]
    assert lengths == [0, 0, 1, 1, 1]


def test_flush_of_a_single_chunk(engine, stored):
    renderer = engine.renderer(stored)
    assert len(render(renderer, chunks(1, 0))) == 1


def test_the_future_never_changes_the_past(engine, stored):
    first, second = engine.renderer(stored), engine.renderer(stored)
    sound, other = chunks(20, 0), chunks(20, 1)
    a = [p for chunk in sound[:14] for p in first.push(chunk)]
    b = [p for chunk in [*sound[:10], *other[10:14]] for p in second.push(chunk)]
    for (_, x), (_, y) in zip(a[:8], b[:8], strict=True):
        assert np.array_equal(x.rgb, y.rgb)
    assert not np.array_equal(a[11][1].rgb, b[11][1].rgb)


def test_two_interleaved_sessions_equal_two_separate_ones(engine, stored):
    sounds = [chunks(10, 0), chunks(10, 1)]
    separate = []
    for sound in sounds:
        renderer = engine.renderer(stored)
        separate.append([f.rgb for chunk in sound for _, f in renderer.push(chunk)])
        renderer.close()
    renderers = [engine.renderer(stored) for _ in sounds]
    together: list[list[np.ndarray]] = [[], []]
    for pair in zip(*sounds, strict=True):
        for k in (0, 1):
            together[k] += [f.rgb for _, f in renderers[k].push(pair[k])]
    for k in (0, 1):
        assert all(np.array_equal(x, y) for x, y in zip(separate[k], together[k], strict=True))


def test_reset_forgets_what_was_heard(engine, stored):
    used, fresh = engine.renderer(stored), engine.renderer(stored)
    for chunk in chunks(10, 1):
        used.push(chunk)
    used.reset()
    for chunk in chunks(6, 0):
        a, b = heard(used, chunk.pcm), heard(fresh, chunk.pcm)
        np.testing.assert_array_equal(a, b)


def heard(renderer, pcm):
    """The displacement that is known with the next chunk."""
    return renderer._stream.step(pcm, renderer._current_style())


def test_silence_closes_the_mouth_and_sound_opens_it(engine, stored):
    renderer = engine.renderer(stored)
    neutral = stored.identity.neutral
    silence = [aperture(neutral + heard(renderer, np.zeros(CHUNK_SAMPLES, np.float32))) for _ in range(40)]
    assert np.mean(np.array(silence[5:]) - aperture(neutral) < 0.03) >= 0.95
    speech = [aperture(neutral + heard(renderer, chunk.pcm)) for chunk in chunks(50, 0)]
    assert max(speech) > 0.05


def test_capacity_is_counted_and_given_back(engine, stored):
    renderers = [engine.renderer(stored) for _ in range(3)]
    with pytest.raises(CapacityError, match="3 slots"):
        engine.renderer(stored)
    renderers[0].close()
    renderers[0].close()
    engine.renderer(stored).close()
    with_one_free = engine.renderer(stored)
    with pytest.raises(CapacityError):
        engine.renderer(stored)
    with_one_free.close()


def test_rendering_changes_only_the_face(engine, stored):
    """With the head at rest, everything outside the rendered crop equals the template."""
    renderer = engine.renderer(stored)
    displacement = np.zeros_like(stored.identity.neutral)
    pasted = renderer._compositor.frame(displacement)
    changed = np.abs(pasted.astype(int) - stored.identity.frame).max(-1) > 0
    rows, columns = np.nonzero(changed)
    landmarks = stored.identity.pose.project(stored.identity.mesh)
    assert rows.min() > landmarks[168, 1]  # below the nose bridge
    assert landmarks[234, 0] - 40 < columns.min()
    assert columns.max() < landmarks[454, 0] + 40
    # With the mouth as in the template, rendering it again changes little.
    assert np.abs(pasted.astype(int) - stored.identity.frame).mean() < 2.0


def test_an_interrupt_closes_the_mouth_from_where_it_is_seen(engine, stored):
    """Frames were rendered far ahead of what is on the screen; those are dropped, and two frames later it is closed."""
    renderer = engine.renderer(stored)
    neutral = stored.identity.neutral
    pairs = [pair for chunk in chunks(40, 0) for pair in renderer.push(chunk)]
    opening = {moved.pts: aperture(neutral + moved.displacement) for moved in renderer._moved}
    shown = max((frame.pts for _, frame in pairs[5:20]), key=opening.__getitem__)
    number = next(moved.frame for moved in renderer._moved if moved.pts == shown)
    rest = aperture(neutral)
    pts = renderer.interrupt(shown, 40 * CHUNK_SAMPLES)
    assert pts == 40 * CHUNK_SAMPLES + renderer.latency_samples
    silence = AudioChunk(np.zeros(CHUNK_SAMPLES, np.float32), np.zeros(PLAYOUT_SAMPLES, np.int16), pts)
    closing, frames = [opening[shown]], []
    for k in range(6):
        [(chunk, frame)] = renderer.push(replace(silence, pts=pts + k * CHUNK_SAMPLES))
        assert chunk.pts == frame.pts == 40 * CHUNK_SAMPLES + k * CHUNK_SAMPLES, "from the first chunk on"
        frames.append(renderer._moved[-1].frame)
        closing.append(aperture(neutral + renderer._moved[-1].displacement))
    steps = np.diff(closing[:4])
    print(f"aperture {np.round(closing, 3)}, at rest {rest:.3f}")
    assert frames == list(range(number + 1, number + 7)), "the head goes on from where it is seen"
    assert np.all(steps < 0.01), "it never opens"
    assert closing[2] - rest < 0.03, "closed with the second frame"
    assert steps.min() > -0.75 * (closing[0] - rest), "in more than one jump"


class Turned:
    """A head held to a side, eyes shut."""

    def at(self, frame: int) -> tuple[HeadPose, int]:
        return HeadPose(right=0.1, yaw=0.2), 4

    def mouth(self, spoken):
        return spoken


def moves(renderer, sound) -> list[tuple[HeadPose, int]]:
    """The poses and eyelids that are rendered."""
    rendered = []
    compositor = renderer._compositor
    renderer._compositor = SimpleNamespace(
        mouth=lambda *_: None,
        compose=lambda _, pose, eyelids, number, upper: rendered.append((pose, eyelids)) or stand_in,
    )
    stand_in = np.zeros((*renderer.size, 3), np.uint8)
    for chunk in sound:
        renderer.push(chunk)
    renderer._compositor = compositor
    return rendered


def test_a_frame_that_keeps_the_mouth_moves_the_head(engine, stored):
    renderer = engine.renderer(stored)
    frames = [render for chunk in chunks(22, 3, level=0.3) for _, render in renderer.advance(chunk)]
    frames[-3]()
    mouth = renderer._rendered
    kept = frames[-1](keep_mouth=True)
    assert renderer._rendered is mouth
    moved = renderer._moved[-1]
    pose, eyelids = IdleMotion().at(moved.frame)
    spoken = moved.speech.pose(renderer._head_motion)
    there = HeadPose(*(idle + speech for idle, speech in zip(pose, spoken, strict=True)))
    assert kept.pts == moved.pts
    assert np.array_equal(kept.rgb, renderer._compositor.compose(mouth, there, eyelids, moved.frame))
    frames[-2]()
    assert not np.array_equal(renderer._rendered.layer, mouth.layer)


def test_nobody_moves_the_head_unless_told(engine, stored):
    renderer = engine.renderer(stored)
    idle = [IdleMotion().at(frame) for frame in range(1, 11)]
    assert moves(renderer, chunks(12, 0, level=0)) == idle


def test_speech_moves_the_head_as_far_as_is_wanted(stored):
    config = load_config("tiny")
    idle = np.array([IdleMotion().at(frame)[0] for frame in range(1, 39)])
    away = []
    for strength in (0.0, 0.5, 1.0):
        engine = Engine.load(replace(config, engine=replace(config.engine, head_motion=strength)))
        away.append(np.array([pose for pose, _ in moves(engine.renderer(stored), chunks(40, 0))]) - idle)
    assert np.abs(away[0]).max() == 0
    assert np.degrees(np.abs(away[2][:, 2:]).max()) > 0.5
    np.testing.assert_allclose(away[1], away[2] / 2, atol=1e-9)


def test_an_interrupt_goes_back_to_how_speech_had_moved_the_head(engine, stored):
    renderer = engine.renderer(stored)
    before = moves(renderer, chunks(40, 0))
    shown = renderer._moved[-20]
    renderer.interrupt(shown.pts, 40 * CHUNK_SAMPLES)
    after = moves(renderer, chunks(10, 0, level=0))
    seen = [pose for pose, _ in before][shown.frame - 1]
    way = np.vstack([seen, [pose for pose, _ in after]])
    assert np.abs(np.diff(way[:, 2:], axis=0)).max() < np.radians(0.6)


def test_another_motion_is_found_into_without_a_jump(engine, stored):
    renderer = engine.renderer(stored)
    before = moves(renderer, chunks(8, 0))
    renderer.motion = Turned()
    after = moves(renderer, chunks(20, 1))
    poses = np.array([pose for pose, _ in before + after])
    assert np.abs(np.diff(poses, axis=0)).max() < 1.5 * 0.2 / 12 + 0.002
    assert after[-1] == Turned().at(0)
    assert {eyelids for _, eyelids in after} == {4}
    # An interrupt goes back to a frame of the way there, and on from it.
    shown = renderer._moved[-14]
    renderer.interrupt(shown.pts, 40 * CHUNK_SAMPLES)
    again = np.array([pose for pose, _ in moves(renderer, chunks(20, 0))])
    seen = poses[shown.frame - 1]
    assert np.abs(again[0] - seen).max() < 1.5 * 0.2 / 12 + 0.002
    assert np.abs(np.diff(again, axis=0)).max() < 1.5 * 0.2 / 12 + 0.002


def test_a_turned_head_is_rendered(engine, stored):
    renderer = engine.renderer(stored)
    displacement = np.zeros_like(stored.identity.neutral)
    still, turned = (renderer._compositor.frame(displacement, pose) for pose in (HeadPose(), HeadPose(yaw=0.15)))
    box = [int(edge) for edge in (*stored.identity.pose.project(stored.identity.mesh)[1, :2],)]
    nose = np.s_[box[1] - 30 : box[1] + 30, box[0] - 30 : box[0] + 60]
    shifts = {k: np.abs(turned[nose].astype(int) - np.roll(still, k, axis=1)[nose]).mean() for k in range(-25, 26)}
    assert 8 < min(shifts, key=shifts.__getitem__) < 25, "pixels to the right"


def test_an_interrupt_before_any_frame_is_no_fault(engine, stored):
    renderer = engine.renderer(stored)
    pts = renderer.interrupt(None, 0)
    assert [chunk.pts for chunk, _ in renderer.push(chunks(4, 0)[3])] == [0]
    assert pts == renderer.latency_samples


def test_the_engine_computes_as_it_is_told(stored):
    config = load_config("tiny")
    for kind in available():
        engine = Engine.load(replace(config, engine=replace(config.engine, backend=kind)))
        assert engine.backend == kind
        assert engine.renderer(stored).push(chunks(1, 0)[0]) == []


def test_a_backend_that_this_machine_lacks_is_an_error(monkeypatch):
    monkeypatch.setattr(winograd, "is_available", lambda: False)
    config = load_config("tiny")
    assert Engine.load(config).backend != "winograd"
    with pytest.raises(ConfigError, match="engine.backend"):
        Engine.load(replace(config, engine=replace(config.engine, backend="winograd")))


def test_one_takes_over_from_another_as_if_it_had_heard_all(engine, stored):
    sound = chunks(14, 3)
    alone = render(engine.renderer(stored), sound)
    first, second = engine.renderer(stored), engine.renderer(stored)
    pairs = [pair for chunk in sound[:7] for pair in first.push(chunk)]
    second.take_over(first)
    pairs += render(second, sound[7:])
    assert [chunk.pts for chunk, _ in pairs] == [chunk.pts for chunk, _ in alone]
    assert all(np.array_equal(a.rgb, b.rgb) for (_, a), (_, b) in zip(pairs, alone, strict=True))


@pytest.fixture
def device_engine(engine, monkeypatch):
    """The way of a GPU, on a CPU."""
    slots = DeviceSlots(engine.generator, engine.device)
    monkeypatch.setattr(engine, "_device_slots", slots)
    slots.prepare(1, FRAME_SIZE)
    return engine


def test_frames_of_a_device_are_those_of_the_host(stored, device_engine):
    """In YUV, mouth kept or not, and without a background; a slot is used again."""
    sound = chunks(12, 5, level=0.3)
    wanted = Engine.load(load_config("tiny")).renderer(stored, backend="float32")
    for _ in range(2):
        renderer = device_engine.renderer(stored)
        pairs = list(zip(renderer.advance(sound[0]), wanted.advance(sound[0]), strict=True))
        for chunk in sound[1:]:
            pairs += zip(renderer.advance(chunk), wanted.advance(chunk), strict=True)
        for number, ((_, there), (_, here)) in enumerate(pairs):
            if number == 7:
                renderer.add_matte()
                wanted.add_matte()
            one, other = there(keep_mouth=number in (4, 8)), here(keep_mouth=number in (4, 8))
            assert one.pts == other.pts
            assert one.size == other.size
            assert psnr(one.i420(), other.i420()) > 45
            assert np.abs(one.rgb.astype(int) - other.rgb).mean() < 2, "colours have half the resolution"
            assert (one.cutout is None) == (other.cutout is None) == (number < 7)
        renderer.close()
        wanted = Engine.load(load_config("tiny")).renderer(stored, backend="float32")
    [frames] = device_engine._device_slots._made
    assert len(frames.free) == 1


def test_a_device_is_taken_over_too(stored, device_engine):
    first, second = device_engine.renderer(stored), device_engine.renderer(stored)
    sound = chunks(10, 3)
    pairs = [pair for chunk in sound[:5] for pair in first.push(chunk)]
    second.take_over(first)
    pairs += [pair for chunk in sound[5:] for pair in second.push(chunk)]
    assert [frame.pts for _, frame in pairs] == [chunk.pts for chunk in sound[:8]]
    assert len({frame.i420().tobytes() for _, frame in pairs}) == 8
