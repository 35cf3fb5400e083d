"""What leaves at session time s is heard at s + delay: for hours, by any card, through every fault."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from stream.playout.playout import Tick
from stream.sound.delayed_player import DelayedPlayer, Playhead
from stream.sound.sample_ring import SampleRing

RATE = 48_000
DELAY_MS = 250.0
LATENCY_S = 0.03
HOUR_S = 3600
Times = Callable[[float], float]


class Room:
    """A playback that releases a voice, a card that plays it, and a listener with the session's clock.

    The voice is int16 at 48 kHz from session time 0 on. `stall(s)` is how much later than usual the card plays what
    it would have played at s.
    """

    def __init__(self, audio: np.ndarray, player: DelayedPlayer, *, rate: int = RATE, ppm: float = 0.0) -> None:
        self.player = player
        self.heard = np.zeros(0, np.int16)
        self.at_s = np.zeros(0)
        """When each sample of `heard` was heard, session time."""
        self._audio = audio
        self._rate, self._true_rate = rate, rate * (1 + ppm * 1e-6)
        self._ticks = 0
        self._draw = np.random.default_rng(0)

    def run(
        self,
        seconds: float,
        *,
        jitter_s: float = 0.0,
        block: int = 480,
        stall: Times = lambda s: 0.0,
        late: Times = lambda s: 0.0,
    ) -> None:
        """Go on until session time `seconds`; ticks come `late(s)` seconds late."""
        heard, at_s = [self.heard], [self.at_s]
        played = len(self.heard)
        while True:
            usual_s = played / self._true_rate
            called_s = usual_s + stall(usual_s)
            if called_s >= seconds:
                break
            while self._ticks * 0.02 + late(self._ticks * 0.02) <= called_s:
                piece = self._audio[self._ticks * 960 : (self._ticks + 1) * 960]
                self.player.release(Tick(self._ticks * 320, np.pad(piece, (0, 960 - len(piece))), None))
                self._ticks += 1
            jitter = self._draw.uniform(-jitter_s, jitter_s)
            heard.append(self.player.fill(block, called_s + LATENCY_S + jitter))
            at_s.append(called_s + LATENCY_S + np.arange(block) / self._true_rate)
            played += block
        self.heard, self.at_s = np.concatenate(heard), np.concatenate(at_s)

    def clicks_s(self) -> np.ndarray:
        """When clicks were heard."""
        loud = self.heard.astype(np.int32)
        peaks = np.flatnonzero((loud[1:-1] > 8_000) & (loud[1:-1] >= loud[:-2]) & (loud[1:-1] > loud[2:])) + 1
        return self.at_s[peaks]


def clicks(seconds: float) -> np.ndarray:
    """One sample of each quarter of a second."""
    audio = np.zeros(int(seconds * RATE), np.int16)
    audio[RATE // 4 :: RATE // 4] = 20_000
    return audio


def late_ms(room: Room, first_s: float, last_s: float = np.inf) -> np.ndarray:
    """How much later than its time + delay each click of a stretch of session time was heard."""
    heard = room.clicks_s() - DELAY_MS / 1000
    heard = heard[(heard > first_s) & (heard < last_s)]
    sent = np.rint(heard * 4) / 4
    assert len(np.unique(sent)) == len(sent)
    return (heard - sent) * 1e3


def steadiness(heard: np.ndarray) -> float:
    """The largest step between two samples."""
    return float(np.abs(np.diff(heard.astype(np.int32))).max())


def jittery(seed: int, count: int, block_s: float) -> list[float]:
    """Times of callbacks: a little late, three in ten 10 ms early (pairs), now and then 30 ms late."""
    draw = np.random.default_rng(seed)
    late = np.where(draw.random(count) < 0.002, draw.uniform(0.01, 0.03, count), draw.exponential(0.0008, count))
    early = np.where(draw.random(count) < 0.3, 0.01, 0.0)
    return (np.arange(count) * block_s + late - early).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("ppm", [100, -100])
def test_eight_hours_without_a_jump(ppm: float) -> None:
    """The control alone, by blocks of 40 ms: a quarter of the callbacks there would be."""
    block = 1_920
    block_s = block / RATE / (1 + ppm * 1e-6)
    head, jumps, skew = Playhead(RATE, 0.25), 0, []
    for k, heard_at_s in enumerate(jittery(1, int(8 * HOUR_S / block_s), block_s)):
        jumps += head.aim(block, heard_at_s, 0.25)
        skew.append(np.nan if head.position is None else k * block_s - head.position / RATE - 0.25)
        head.advance()
    settled = np.array(skew[int(5 / block_s) :]) * 1e3
    print(f"{ppm:+} ppm: {settled.min():+.2f}..{settled.max():+.2f} ms over 8 h, {head.ppm:+.1f} ppm at the end")
    assert jumps == 0
    assert np.abs(settled).max() < 10
    assert abs(head.ppm - ppm) < 15


@pytest.mark.parametrize(("rate", "ppm"), [(48_000, 100), (48_000, -100), (44_100, 100), (96_000, 0), (16_000, -100)])
def test_clicks_are_heard_at_their_time_and_the_delay(rate: int, ppm: float) -> None:
    room = Room(clicks(60), DelayedPlayer(DELAY_MS, rate), rate=rate, ppm=ppm)
    if rate == 16_000:
        room._audio = np.convolve(clicks(60), np.ones(3, np.int16), "same").astype(np.int16)  # one sample has no 1/3
    room.run(60, jitter_s=2e-3, block=rate // 100)
    late = late_ms(room, 2)
    print(f"{rate} Hz, {ppm:+} ppm: {late.min():+.2f}..{late.max():+.2f} ms")
    assert len(late) >= 230
    assert np.abs(late).max() < 1
    stats = room.player.stats()
    assert (stats.underruns, stats.jumps) == (0, 0)
    assert abs(stats.ppm - ppm) < 15
    assert abs(stats.skew_ms) < 0.5


def test_a_tone_stays_a_tone_at_another_rate_with_drift() -> None:
    tone = (10_000 * np.sin(2 * np.pi * 997 / RATE * np.arange(20 * RATE))).astype(np.int16)
    room = Room(tone, DelayedPlayer(DELAY_MS, 44_100), rate=44_100, ppm=100)
    room.run(20, jitter_s=2e-3)
    part = slice(-44_100, None)
    turn = 2 * np.pi * 997 * (room.at_s[part] - DELAY_MS / 1000)
    basis = np.stack([np.sin(turn), np.cos(turn)], axis=1)
    weights = np.linalg.lstsq(basis, room.heard[part].astype(float), rcond=None)[0]
    assert np.hypot(*weights) == pytest.approx(10_000, rel=0.02)


def test_in_pieces_equals_whole_where_the_times_agree() -> None:
    audio = (8_000 * np.random.default_rng(2).standard_normal(4 * RATE).clip(-3, 3)).astype(np.int16)
    whole, pieces = (Room(audio, DelayedPlayer(DELAY_MS)) for _ in range(2))
    whole.run(2)
    pieces.run(2)
    start_s = 2 + LATENCY_S
    expected = whole.player.fill(4_800, start_s)
    made, at = [], 0
    for count in [1, 700, 333, 0, 2_000, 17, 1_749]:
        made.append(pieces.player.fill(count, start_s + at / RATE))
        at += count
    np.testing.assert_allclose(np.concatenate(made), expected, atol=1)
    place = round((start_s - DELAY_MS / 1000) * RATE)
    np.testing.assert_allclose(expected, audio[place : place + 4_800], atol=1)


def test_the_delay_can_be_set_while_it_runs() -> None:
    audio = clicks(10)
    room = Room(audio, DelayedPlayer(100.0))
    room.run(4)
    room.player.set_delay(DELAY_MS)
    assert room.player.delay_ms == DELAY_MS
    room.run(8)
    assert np.abs(late_ms(room, 4.3)).max() < 0.1
    assert room.player.stats().jumps == 1


def test_a_jump_does_not_click() -> None:
    audio = np.full(10 * RATE, 12_000, np.int16)
    room = Room(audio, DelayedPlayer(100.0))
    room.run(4)
    room.player.set_delay(400.0)
    room.run(8)
    assert room.heard[-1] == 12_000
    assert steadiness(room.heard) <= 12_000 / 240 + 2


@pytest.mark.parametrize("stall_s", [0.02, 0.04])
def test_a_small_shift_is_followed_without_a_jump(stall_s: float) -> None:
    room = Room(clicks(100), DelayedPlayer(DELAY_MS))
    room.run(100, stall=lambda s: stall_s * (s > 10))
    assert np.abs(late_ms(room, 95)).max() < 3
    assert (room.player.stats().jumps, room.player.stats().underruns) == (0, 0)


def test_a_stall_of_the_card_is_jumped_over() -> None:
    room = Room(clicks(20), DelayedPlayer(DELAY_MS))
    room.run(20, stall=lambda s: 0.2 * (s > 10))
    assert np.abs(late_ms(room, 0.5, 9.5)).max() < 0.1
    assert np.abs(late_ms(room, 11.2)).max() < 1
    assert room.player.stats().jumps == 1


def test_after_a_long_stall_the_sound_continues_at_its_time() -> None:
    room = Room(clicks(30), DelayedPlayer(DELAY_MS))
    room.run(30, stall=lambda s: 7.0 * (s > 10))
    assert np.abs(late_ms(room, 18)).max() < 0.1
    assert room.player.stats().underruns == 0


def test_a_suspended_machine_goes_on() -> None:
    player = DelayedPlayer(DELAY_MS)
    room = Room(clicks(5), player)
    room.run(5)
    away_s = 1_000.0
    for k in range(200):
        player.release(Tick(int((5 + away_s) * 16_000) + k * 320, np.full(960, 5_000, np.int16), None))
        if k:
            heard = [player.fill(480, 5 + away_s + k * 0.02 + LATENCY_S + half) for half in (-0.02, -0.01)]
    assert np.all(heard[-1] == 5_000)
    assert player.stats().underruns == 0


def test_one_late_callback_is_no_reason_to_move() -> None:
    player = DelayedPlayer(DELAY_MS)
    room = Room(clicks(20), player)
    room.run(10)
    for k in range(1_000, 1_030):  # 300 ms of callbacks at once, none lost
        room.heard = np.append(room.heard, player.fill(480, 10.3 + LATENCY_S))
        room.at_s = np.append(room.at_s, k * 0.01 + LATENCY_S + np.arange(480) / RATE)
    room.run(20)
    assert np.abs(late_ms(room, 11)).max() < 5
    assert player.stats().jumps == 0


def test_late_ticks_are_an_underrun_without_clicks() -> None:
    audio = np.full(10 * RATE, 12_000, np.int16)
    room = Room(audio, DelayedPlayer(DELAY_MS))
    room.run(10, late=lambda s: max(0.0, 5.5 - s) * (s > 5))
    quiet = room.at_s[(room.heard == 0) & (room.at_s > 2)]
    assert 5.26 < quiet.min() < 5.28
    assert 5.5 < quiet.max() < 5.54
    assert room.heard[-1] == 12_000
    assert steadiness(room.heard) <= 12_000 / 240 + 2
    assert room.player.stats().underruns == 1
    assert room.player.stats().jumps == 0


def test_clicks_are_in_place_after_an_underrun() -> None:
    room = Room(clicks(10), DelayedPlayer(DELAY_MS))
    room.run(10, late=lambda s: max(0.0, 5.5 - s) * (s > 5))
    assert np.abs(late_ms(room, 5.6)).max() < 0.1


def test_silence_before_the_first_tick_and_after_the_last_is_no_underrun() -> None:
    player = DelayedPlayer(DELAY_MS)
    for k in range(100):
        assert not player.fill(480, k * 0.01).any()
    assert player.stats().underruns == 0
    for k in range(50):
        player.release(Tick(16_000 + k * 320, np.full(960, 5_000, np.int16), None))
    player.stop()
    heard = np.concatenate([player.fill(480, k * 0.01) for k in range(100, 250)])
    assert np.count_nonzero(heard > 4_990) > 46_000
    assert not heard[-RATE // 10 :].any()
    assert steadiness(heard) <= 5_000 / 240 + 2
    assert player.stats().underruns == 0


def test_a_device_and_a_loop_at_once() -> None:
    """Two threads; what is played is what was released, or it is faded."""
    player, wrong, done = DelayedPlayer(DELAY_MS), [], threading.Event()

    def device() -> None:
        for k in range(3_000):
            block = player.fill(480, k * 0.01 + LATENCY_S)
            if block.min() < 0 or block.max() > 3_001:
                wrong.append(k)
        done.set()

    thread = threading.Thread(target=device, daemon=True)
    thread.start()
    tick = 0
    while not done.wait(1e-4) and tick < 30_000:
        player.release(Tick(tick * 320, np.full(960, 3_000, np.int16), None))
        tick += 1
        if tick % 100 == 0:
            player.set_delay(DELAY_MS + tick % 300)
            player.stats()
    thread.join(60)
    assert not thread.is_alive()
    assert wrong == []


def test_what_is_held_is_bounded() -> None:
    ring = SampleRing(4_800, 240)
    for k in range(1_000):
        ring.put(k * 960, np.full(960, k, np.int16))
    np.testing.assert_array_equal(ring.cut(960_000 - 4_800, 960_000), np.repeat(np.arange(995, 1_000), 960))
    assert ring.end == 960_000
    assert not ring.cut(0, 900_000).any()
    assert not ring.cut(960_000, 960_100).any()


def test_a_gap_is_silence_with_faded_edges() -> None:
    ring = SampleRing(9_600, 240)
    ring.put(0, np.full(960, 1_000, np.int16))
    ring.put(1_920, np.full(960, 1_000, np.int16))
    audio = ring.cut(-10, 2_880)
    assert not audio[970:1_930].any()
    assert audio[600] == audio[-1] == 1_000
    assert np.abs(np.diff(audio)).max() < 5


def test_what_is_past_is_ignored_unless_time_starts_again() -> None:
    ring = SampleRing(4_800, 240)
    ring.put(96_000, np.full(960, 1_000, np.int16))
    ring.put(95_040, np.full(960, 9, np.int16))
    assert ring.end == 96_960
    ring.put(0, np.full(960, 7, np.int16))
    assert ring.end == 960
    assert ring.cut(959, 960) == 7


def test_a_ring_keeps_the_newest_when_it_is_resized() -> None:
    ring = SampleRing(4_800, 240)
    audio = np.arange(4_800, dtype=np.int16)
    ring.put(0, audio)
    for capacity in (9_600, 960):
        ring.resize(capacity)
        np.testing.assert_array_equal(ring.cut(3_840, 4_800), audio[3_840:])
    assert not ring.cut(0, 3_840).any()
