"""The rules of the queue, by a fake clock: nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from stream.clock import samples
from stream.errors import StreamError
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk, VideoFrame
from stream.playout.playout import TICK_PLAYOUT_SAMPLES, TICK_SAMPLES, Playout, PlayoutConfig, Tick

LOUD = 0.1


def chunk(k: int, level: float = LOUD) -> AudioChunk:
    """Chunk number k; its voice counts up so that every played sample identifies its origin."""
    pcm = np.full(CHUNK_SAMPLES, level, np.float32)
    first = k * PLAYOUT_SAMPLES
    audio = (np.arange(first, first + PLAYOUT_SAMPLES) % 30_000 + 1).astype(np.int16)
    return AudioChunk(pcm, audio, k * CHUNK_SAMPLES)


def frame(k: int) -> VideoFrame:
    return VideoFrame(np.full((2, 2, 3), k % 256, np.uint8), k * CHUNK_SAMPLES)


@dataclass
class Bench:
    """A playout, its time, and everything it released."""

    playout: Playout
    time: int = 0
    ticks: list[Tick] = field(default_factory=list)

    def put(self, k: int, *, picture: bool = True, level: float = LOUD) -> bool:
        return self.playout.put(chunk(k, level), frame(k) if picture else None, self.time)

    def run(self, count: int) -> list[Tick]:
        new = []
        for _ in range(count):
            new.append(self.playout.pull(self.time))
            self.time += TICK_SAMPLES
        self.ticks += new
        return new

    def audio(self) -> np.ndarray:
        played = [tick.audio for tick in self.ticks if tick.source_pts is not None]
        return np.concatenate(played) if played else np.zeros(0, np.int16)

    def shown(self) -> list[tuple[int, int]]:
        """(frame pts, its time) of each release, holds included."""
        return [(t.frame.pts, t.time) for t in self.ticks if t.frame is not None]


def bench(**config: float | bool) -> Bench:
    return Bench(Playout(PlayoutConfig(**config)))  # type: ignore[arg-type]


def expected_audio(first: int, count: int) -> np.ndarray:
    return np.concatenate([chunk(k).audio for k in range(first, first + count)])


def check_invariants(b: Bench) -> None:
    """What must hold in every case."""
    times = [tick.time for tick in b.ticks]
    assert all(later - earlier == TICK_SAMPLES for earlier, later in zip(times, times[1:], strict=False))
    assert all(tick.audio.shape == (TICK_PLAYOUT_SAMPLES,) for tick in b.ticks)
    frame_times = [time for _, time in b.shown()]
    assert frame_times == sorted(set(frame_times)), "timestamps of video must grow"
    starts = {t.source_pts: t.time for t in b.ticks if t.source_pts is not None}
    first_shown: dict[int, int] = {}
    for pts, time in b.shown():
        first_shown.setdefault(pts, time)
    assert all(time == starts[pts] for pts, time in first_shown.items()), "a picture leaves with its sound"


def test_it_plays_silence_before_anything_comes() -> None:
    b = bench()
    ticks = b.run(3)
    assert all(tick.source_pts is None and not tick.audio.any() for tick in ticks)
    assert b.shown() == []
    assert b.playout.stats().underruns == 0


def test_play_starts_when_the_jitter_target_is_reached() -> None:
    b = bench(target_ms=80)
    b.put(0)
    b.run(2)
    assert b.audio().size == 0
    b.put(1)
    b.run(4)
    np.testing.assert_array_equal(b.audio(), expected_audio(0, 2))


def test_play_starts_after_the_target_even_if_no_more_comes() -> None:
    b = bench(target_ms=80)
    b.put(0)
    b.run(6)
    starts = [tick.time for tick in b.ticks if tick.source_pts is not None]
    assert starts[0] == samples(80)
    np.testing.assert_array_equal(b.audio(), expected_audio(0, 1))


def test_a_frame_leaves_in_the_tick_in_which_its_audio_starts() -> None:
    b = bench(target_ms=80)
    for k in range(5):
        b.put(k)
    b.run(10)
    for tick in b.ticks:
        if tick.frame is not None:
            assert tick.frame.pts == tick.source_pts
    assert [pts for pts, _ in b.shown()] == [640 * k for k in range(5)]
    assert b.playout.stats().shown == 5


def test_two_ticks_of_a_chunk_are_its_two_halves() -> None:
    b = bench(target_ms=40)
    b.put(3)
    first, second = b.run(2)
    np.testing.assert_array_equal(np.concatenate([first.audio, second.audio]), chunk(3).audio)
    assert (first.source_pts, second.source_pts) == (1920, 2240)


def test_a_chunk_without_a_frame_leaves_the_last_one_standing() -> None:
    b = bench(target_ms=80)
    for k in range(4):
        b.put(k, picture=k in (0, 3))
    b.run(8)
    np.testing.assert_array_equal(b.audio(), expected_audio(0, 4))
    assert b.shown() == [(0, 0), (3 * 640, 3 * 640)]


def test_an_underrun_plays_silence_holds_the_frame_and_resumes_with_a_matched_pair() -> None:
    b = bench(target_ms=80)
    b.put(0)
    b.put(1)
    b.run(4 + 20)  # 400 ms of nothing
    stats = b.playout.stats()
    assert stats.underruns == 1
    assert not any(tick.audio.any() for tick in b.ticks[4:])
    held = [pts for pts, time in b.shown() if time > b.ticks[3].time]
    assert held == [640, 640], "the last frame is repeated every 200 ms"
    b.put(2)
    b.put(3)
    assert b.run(1)[0].source_pts is None, "after an underrun the jitter target is a chunk larger"
    b.put(4)
    resumed = b.run(6)
    start = next(tick for tick in resumed if tick.source_pts is not None)
    assert start.source_pts == 2 * 640
    assert start.frame is not None
    assert start.frame.pts == 2 * 640
    np.testing.assert_array_equal(b.audio(), expected_audio(0, 5))
    assert stats.target_ms == 120
    check_invariants(b)


def test_a_jump_of_the_source_does_not_interrupt_play() -> None:
    b = bench(target_ms=80)
    for k in (0, 1, 50, 51):
        b.put(k)
    b.run(8)
    expected = np.concatenate([expected_audio(0, 2), expected_audio(50, 2)])
    np.testing.assert_array_equal(b.audio(), expected)
    check_invariants(b)


def test_the_queue_is_bounded_and_refuses_instead_of_dropping() -> None:
    b = bench(target_ms=80, max_ms=200)
    assert [b.put(k) for k in range(7)] == [True] * 5 + [False] * 2
    assert b.playout.queued_ms == 200
    assert not b.playout.has_room()
    b.run(2)
    assert b.playout.has_room()
    assert b.put(5)
    b.run(20)
    np.testing.assert_array_equal(b.audio(), expected_audio(0, 6))
    assert b.playout.stats().refused == 2


def test_clear_silences_the_next_tick_with_a_short_fade() -> None:
    b = bench(target_ms=80)
    for k in range(10):
        b.put(k)
    b.run(3)
    before = b.ticks[-1].audio[-1]
    b.playout.clear()
    (fading,) = b.run(1)
    assert fading.source_pts is None
    assert abs(int(fading.audio[0]) - int(before)) < 50, "no click"
    assert not fading.audio[240:].any(), "5 ms, then nothing"
    assert np.all(np.diff(fading.audio[:240].astype(int)) <= 0)
    (silent,) = b.run(1)
    assert not silent.audio.any()
    assert b.playout.queued_ms == 0
    assert b.playout.stats().cleared_ms == 340


def test_clear_when_empty_is_nothing() -> None:
    b = bench()
    b.playout.clear()
    b.run(1)
    assert b.playout.stats().cleared_ms == 0


def test_after_clear_the_next_utterance_starts_with_its_frame() -> None:
    b = bench(target_ms=80)
    for k in range(4):
        b.put(k)
    b.run(3)
    b.playout.clear()
    b.run(5)
    for k in range(100, 103):
        b.put(k)
    b.run(6)
    assert [pts for pts, _ in b.shown()][-3:] == [64_000, 64_640, 65_280]
    check_invariants(b)


def test_after_clear_two_pairs_leave_without_buffering() -> None:
    b = bench(target_ms=80)
    for k in range(4):
        b.put(k)
    b.run(3)
    b.playout.clear()
    waited = []
    for k in (100, 101, 102):
        asked = b.time
        b.put(k)
        b.run(8)
        waited.append(next(time for pts, time in b.shown() if pts == k * CHUNK_SAMPLES) - asked)
    assert waited[:2] == [0, 0], "the mouth closes at once"
    assert waited[2] > 0, "then there is a jitter_target again"


def test_a_standing_backlog_is_trimmed_in_silence_only() -> None:
    b = bench(target_ms=80, max_ms=2000)
    for k in range(15):
        b.put(k)
    level = []
    for k in range(15, 400):
        b.put(k, level=0.0 if 200 <= k < 240 else LOUD)
        b.run(2)
        level.append(b.playout.queued_ms)
    speech = [t.source_pts // 640 for t in b.ticks if t.source_pts is not None]
    assert min(level[:180]) >= 500, "speech is never cut"
    assert max(level[-100:]) <= 160, "the pause brought the delay back"
    skipped = set(range(speech[-1])) - set(speech)
    assert skipped <= set(range(200, 240))
    assert b.playout.stats().trimmed_ms == 40 * len(skipped) > 0
    check_invariants(b)


def test_after_underruns_a_pause_is_lengthened_to_refill_the_buffer() -> None:
    """Irregular rendering underruns once; the next pause takes in the delay it needs."""
    b = bench(target_ms=80)
    put, ready = 0, 0.0
    underruns_by = []
    for tick in range(60 * 50):
        while ready <= tick * TICK_SAMPLES:
            b.put(put, level=0.0 if put % 75 < 15 else LOUD)
            put += 1
            ready = put * CHUNK_SAMPLES + samples(130 if put % 40 == 0 else 0)
        b.run(1)
        if tick % 500 == 499:
            underruns_by.append(b.playout.stats().underruns)
    print("underruns by each 10 s:", underruns_by)
    assert underruns_by[0] >= 1
    assert underruns_by[-1] - underruns_by[2] <= 1, f"underruns by 10 s: {underruns_by}"
    assert b.playout.stats().target_ms <= 200
    check_invariants(b)


def test_a_buffered_source_keeps_its_pauses() -> None:
    b = bench(target_ms=80, max_ms=2000, live=False)
    for k in range(15):
        b.put(k, level=0.0)
    for k in range(15, 200):
        b.put(k, level=0.0)
        b.run(2)
    assert b.playout.stats().trimmed_ms == 0
    assert b.playout.stats().played_ms == 185 * 40


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_jitter_audio_is_complete_and_never_leads(seed: int) -> None:
    """Bursts, stalls, missing frames: the voice comes out whole and in order."""
    draw = np.random.default_rng(seed)
    b = bench(target_ms=60, max_ms=600, live=False)
    put = 0
    for _ in range(600):
        for _ in range(int(draw.choice([0, 0, 1, 1, 2, 5]))):
            put += b.put(put, picture=bool(draw.random() < 0.8))
        b.run(1)
        assert b.playout.queued_ms <= 600
    b.run(60)
    np.testing.assert_array_equal(b.audio(), expected_audio(0, put))
    check_invariants(b)
    stats = b.playout.stats()
    assert stats.played_ms == put * 40
    assert stats.queued_ms == 0


@pytest.mark.parametrize("drift_ppm", [-2000, 2000])
def test_two_minutes_of_a_drifting_microphone_stay_bounded(drift_ppm: int) -> None:
    """A microphone's clock differs from the server's: pauses take up the difference."""
    draw = np.random.default_rng(drift_ppm % 1000)
    b = bench(target_ms=80)
    period = CHUNK_SAMPLES * (1 + drift_ppm / 1e6)
    put, highest = 0, 0.0
    for tick in range(2 * 60 * 50):
        while put * period + draw.uniform(0, 200) < tick * TICK_SAMPLES:
            assert b.put(put, level=0.0 if put % 75 < 10 else LOUD)  # a pause of 400 ms every 3 s
            put += 1
        b.run(1)
        highest = max(highest, b.playout.queued_ms)
    stats = b.playout.stats()
    assert highest <= 240
    assert stats.underruns == 0, "a pause is lengthened before the buffer is empty"
    assert stats.played_ms + stats.trimmed_ms + stats.queued_ms == put * 40
    speech = {k * 640 for k in range(put - 10) if k % 75 >= 10}
    assert speech <= {tick.source_pts for tick in b.ticks}, "no chunk of speech is lost"
    check_invariants(b)


def test_a_pair_with_two_different_pts_is_refused() -> None:
    with pytest.raises(StreamError, match=r"frame\.pts: expected 0 \(chunk\.pts\), got 640"):
        Playout().put(chunk(0), frame(1), 0)


@pytest.mark.parametrize("target_ms", [-1, 1000, 2000])
def test_a_target_outside_the_bound_is_refused(target_ms: int) -> None:
    with pytest.raises(StreamError, match="target_ms: expected"):
        PlayoutConfig(target_ms=target_ms)
