"""The presenter's head follows a user's: in time, without jumps, through blinks and absences, with the real tracker."""

import logging
import time
from itertools import pairwise

import numpy as np
import pytest

from models.head_motion import BLINK_CURVE, EYES_CLOSED, FPS, HeadPose, IdleMotion
from models.head_warp import limited
from models.mesh import topology
from models.user_head import AWAY_S
from presenter.config import load_config
from presenter.meeting.head_follower import HeadFollower
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from stream.camera.webcam import Webcam, WebcamPicture
from stream.clock import SessionClock
from stream.files.movie import MovieWriter
from stream.media import CHUNK_SAMPLES, SAMPLE_RATE
from tests.presenter.meeting.stand_ins import NoCamera, Told

UNIT = 80.0
UPPER, LOWER = [159, 158, 160, 386, 385, 387], [145, 153, 144, 374, 380, 373]
FASTEST = 1.5 / (FPS // 2)  # of a way that is gone in half a second, per frame


def face(right: float = 0.0, roll: float = 0.0, closed: bool = False) -> np.ndarray:
    mesh = topology().reference.copy()
    if closed:
        mesh[UPPER, 1] = mesh[LOWER, 1]
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return (mesh @ turn.T * UNIT + [320 + right * UNIT, 240, 0]).astype(np.float32)


class Scene:
    """A follower in a time that a test sets, 15 pictures and 25 frames a second."""

    def __init__(self, delay_ms: float = 120.0):
        self.time = 0.0
        self.tracker = Told()
        clock = SessionClock(lambda: round(self.time * 1e9))
        self.follower = HeadFollower(NoCamera(), clock, delay_ms=delay_ms, tracker=self.tracker)
        self.frame = 0
        self._pictures = 0

    def play(self, seconds: float, user=lambda t: face()) -> list[tuple[HeadPose, int]]:
        """Frames of the next seconds, in which the user is where a function of time says, or away."""
        moves = []
        for _ in range(round(seconds * FPS)):
            self.frame += 1
            self.time = self.frame / FPS
            while self._pictures / 15 <= self.time:
                landmarks = user(self._pictures / 15)
                self.tracker.faces = [] if landmarks is None else [landmarks]
                stamp = round(self._pictures / 15 * SAMPLE_RATE)
                self.follower._watch(WebcamPicture(np.zeros((2, 2, 3), np.uint8), self._pictures + 1, stamp))
                self._pictures += 1
            moves.append(self.follower.at(self.frame))
        return moves


@pytest.fixture
def scene():
    scene = Scene()
    yield scene
    scene.follower.close()


def steps(moves) -> np.ndarray:
    return np.abs(np.diff([pose for pose, _ in moves], axis=0)).max(0)


def nobody(t: float) -> None:
    return None


def test_while_nobody_is_there_the_head_idles(scene):
    assert scene.play(8, nobody) == [IdleMotion().at(frame) for frame in range(1, 201)]
    assert not scene.follower.following


def test_the_first_second_is_idle_and_then_the_user_takes_over_without_a_jump(scene):
    moves = scene.play(1.0)
    assert moves == [IdleMotion().at(frame) for frame in range(1, 26)]
    moves += scene.play(1.5)
    assert scene.follower.following
    assert steps(moves).max() < FASTEST * 0.04 + 0.002
    assert np.abs(moves[-1][0]).max() < 0.002


def test_leaving_and_coming_back(scene):
    held = lambda t: face(np.clip(t - 4, 0, 0.3))  # noqa: E731
    moves = scene.play(6, held)
    away_at = len(moves)
    assert moves[-1][0].right > 0.1
    moves += scene.play(4, nobody)
    away = moves[away_at:]
    still_there = [np.allclose(pose, away[4][0], atol=1e-6) for pose, _ in away[4:]]
    assert 0.6 < still_there.index(False) / FPS < AWAY_S + 0.2, "a hand before the face is no leaving"
    assert away[-1] == IdleMotion().at(scene.frame), "idle within a second after that"
    assert away[int((AWAY_S + 1.3) * FPS)] == IdleMotion().at(away_at + int((AWAY_S + 1.3) * FPS) + 1)
    back_at = len(moves)
    moves += scene.play(2, lambda t: face(0.5))
    idle = np.array([IdleMotion().at(frame)[0] for frame in range(back_at, back_at + 50)])
    back = np.array([pose for pose, _ in moves[back_at:]])
    assert np.abs(back[int(0.75 * FPS)]).max() < 0.25 * np.abs(idle).max(), "from where they sit now"
    assert steps(moves).max() < 0.07
    assert steps(moves[away_at:])[0] < FASTEST * 0.3


def test_frames_show_the_moment_they_belong_to():
    """A head that sways once a second and a half, asked for with different delays."""
    for delay_ms in (100.0, 300.0):
        scene = Scene(delay_ms)
        moves = scene.play(8, lambda t: face(0.1 * np.sin(2 * np.pi * t / 1.5)))
        scene.follower.close()
        shown = np.array([pose.right for pose, _ in moves])[-100:]
        times = np.arange(101, 201) / FPS
        late_ms = max(
            range(0, 500, 10),
            key=lambda late: np.corrcoef(shown, np.sin(2 * np.pi * (times - late / 1000) / 1.5))[0, 1],
        )
        assert 0 <= late_ms - delay_ms <= 60  # the filter's own delay


def test_late_and_early_frames_move_as_evenly_as_others(scene):
    """Frames rendered at uneven intervals are shown every 40 ms."""
    sway = lambda t: face(0.1 * t)  # noqa: E731
    scene.play(3, sway)
    rng = np.random.default_rng(0)
    shown = []
    at = scene.follower.at
    scene.follower.at = lambda frame: None
    for _ in range(50):
        scene.play(1 / FPS, sway)
        scene.time += rng.uniform(0, 0.03)
        shown.append(at(scene.frame)[0].right)
    pace = np.diff(shown)
    assert pace.std() < 0.3 * pace.mean()


def test_a_blink_of_one_picture_is_a_whole_blink(scene):
    moves = scene.play(5, lambda t: face(closed=abs(t - 45 / 15) < 0.01))
    levels = [eyelids for _, eyelids in moves][50:]
    blink = [level for level in levels if level]
    assert blink[:2] == [2, EYES_CLOSED]
    assert blink[-3:] == [3, 2, 1]
    assert set(blink[1:-3]) == {EYES_CLOSED}
    assert len(blink) <= 9
    closed_at = (50 + levels.index(EYES_CLOSED) + 1) / FPS
    assert abs(closed_at - 0.12 - 3.0) < 0.08, "when its moment is shown"


def test_closed_eyes_stay_closed(scene):
    moves = scene.play(5, lambda t: face(closed=2 < t < 4))
    levels = np.array([eyelids for _, eyelids in moves])
    assert set(levels[int(2.3 * FPS) : int(4 * FPS)]) == {EYES_CLOSED}
    assert set(levels[int(4.4 * FPS) :]) == {0}


def test_eyelids_move_as_fast_as_lids_wherever_the_head_goes(scene):
    moves = scene.play(3, lambda t: face(closed=t > 2))
    moves += scene.play(8, nobody)
    moves += scene.play(2, lambda t: face(closed=int(3 * t) % 2))
    assert all(-1 <= later - before <= 2 for (_, before), (_, later) in pairwise(moves))


def test_an_interrupt_goes_on_from_the_frame_that_was_seen(scene):
    moves = scene.play(6, lambda t: face(0.2 * np.sin(3 * t)))
    seen = moves[-15]
    scene.frame -= 14
    scene.time += 14 / FPS
    scene.follower._moments._clock._epoch_ns -= round(14 / FPS * 1e9)  # time goes on where frame numbers went back
    after = scene.follower.at(scene.frame)
    assert np.abs(np.subtract(moves[-1][0], seen[0])).max() > 0.1
    assert np.abs(np.subtract(after[0], seen[0])).max() < 1.5 * steps(moves).max()


def test_another_face_before_the_camera_is_no_jump(scene):
    moves = scene.play(5, lambda t: face(np.clip(t - 4, 0, 0.3)))
    assert moves[-1][0].right > 0.1
    moves += scene.play(2, lambda t: face(3.0))
    assert steps(moves).max() < 0.06
    assert np.abs(moves[-1][0]).max() < 0.01


def test_a_tracker_that_fails_leaves_an_idle_head_and_a_message(caplog):
    class Broken(Told):
        def track(self, rgb):
            raise RuntimeError("no")

    class OnePicture(NoCamera):
        def newest(self, after=0, timeout_s=0.0):
            return WebcamPicture(np.zeros((2, 2, 3), np.uint8), after + 1, 0)

    with caplog.at_level(logging.ERROR), HeadFollower(OnePicture(), SessionClock(), tracker=Broken()) as follower:
        follower._thread.join(10)
        assert follower.at(7) == IdleMotion().at(7)
    assert "head tracking failed" in caplog.text


# ---- with the real tracker, on a film of the default presenter ----

BLINKS = (70, 115, 160)
LEAVES, RETURNS, ENDS = 200, 255, 300  # frames of the film
SLOWER = 2  # than real time, so that a busy machine has time to track


def script(frame: int) -> tuple[HeadPose, int]:
    """At rest for a second and a half, then all at once: incommensurate, so that they can be distinguished."""
    t = frame / FPS - 1.6
    rise = np.clip(2 * t, 0, 1)
    right, down, roll, yaw, pitch = (rise * np.sin(2 * np.pi * t / period) for period in (3.1, 2.3, 2.7, 3.7, 1.9))
    eyelids = [BLINK_CURVE[frame - begin] for begin in BLINKS if 0 <= frame - begin < len(BLINK_CURVE)]
    return HeadPose(0.08 * right, 0.06 * down, 0.07 * roll, 0.14 * yaw, 0.1 * pitch), sum(eyelids)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """The default presenter moved by `script`, an empty picture, and the presenter again."""
    folder = tmp_path_factory.mktemp("film")
    stored = IdentityStore(folder / "own").load("default")
    renderer = Engine.load(load_config("tiny")).renderer(stored)
    still = np.zeros_like(stored.identity.neutral)
    empty = np.full((*renderer.size, 3), 128, np.uint8)
    with MovieWriter(folder / "film.mp4", renderer.size) as writer:
        for frame in range(ENDS):
            away = LEAVES <= frame < RETURNS
            writer.write(empty if away else renderer._compositor.frame(still, *script(frame)))
    return folder / "film.mp4"


@pytest.fixture(scope="module")
def followed(film):
    """What a follower made of the film: rows of frame of the film (a fraction), following, eyelids, pose."""
    began = time.monotonic_ns()
    clock = SessionClock(lambda: (time.monotonic_ns() - began) // SLOWER)
    rows, frame = [], 0
    with Webcam(str(film), clock) as camera:
        start = camera.newest().time
        with HeadFollower(camera, clock) as follower:
            while camera.state == "live" or frame < (ENDS + 50):
                frame += 1
                while clock.now() < frame * CHUNK_SAMPLES:
                    time.sleep(0.002)
                pose, eyelids = follower.at(frame)
                rows.append([(follower._moments.now - start) / CHUNK_SAMPLES, follower.following, eyelids, *pose])
    return np.array(rows)


@pytest.mark.slow
def test_the_head_of_a_film_is_found_again(followed):
    there = followed[(followed[:, 0] > 65) & (followed[:, 0] < LEAVES - 1)]
    assert there[:, 1].all()
    wanted = np.array([[np.interp(row[0], range(ENDS), values) for values in CURVES] for row in there])
    for number, name in enumerate(HeadPose._fields):
        found, expected = there[:, 3 + number], wanted[:, number]
        r = np.corrcoef(found, expected)[0, 1]
        gain = found @ expected / (expected @ expected)
        print(f"{name}: r = {r:.3f}, gain {gain:.2f}")
        assert r > (0.9 if name in ("right", "roll", "yaw") else 0.8), name
        assert 0.7 < gain < 1.3, name


CURVES = np.array([limited(script(frame)[0]) for frame in range(ENDS)]).T


@pytest.mark.slow
def test_the_blinks_of_a_film_are_found_again(followed):
    there = followed[(followed[:, 0] > 60) & (followed[:, 0] < LEAVES - 1)]
    begins = [later[0] for before, later in pairwise(there) if later[2] and not before[2]]
    print(f"blinks at {np.round(begins, 1)}, in the film at {BLINKS}")
    assert len(begins) == len(BLINKS)
    assert np.abs(np.subtract(begins, BLINKS)).max() < 4
    assert np.abs(np.mean(np.subtract(begins, BLINKS))) < 2.5


@pytest.mark.slow
def test_an_empty_chair_in_a_film_idles(followed):
    def during(first, last):
        return followed[(followed[:, 0] >= first) & (followed[:, 0] < last)]

    assert during(LEAVES, LEAVES + 15)[:, 1].all()
    assert not during(LEAVES + 22, RETURNS - 1)[:, 1].any()
    assert during(RETURNS + 12, ENDS - 1)[:, 1].all()
    assert not during(ENDS + 22, np.inf)[:, 1].any(), "as when the camera is lost"
    assert np.abs(np.diff(followed[:, 3:], axis=0)).max() < 0.05
