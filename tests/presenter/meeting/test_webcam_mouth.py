"""The user's mouth moves the presenter's: in time, from its own rest, and the sound's while nobody is seen."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from models.mesh import INNER_LIP_PAIRS, LIPS, aperture, topology
from models.user_mouth import UserMouth
from presenter import api
from presenter.config import load_config
from presenter.errors import ConfigError
from presenter.meeting.head_follower import HeadFollower
from presenter.meeting.setup import _open_webcam
from presenter.runtime.engine import Engine
from presenter.runtime.identities import IdentityStore
from presenter.tts.voice import Voice
from presenter.video.driving import track_driver
from stream.camera.webcam import Webcam, WebcamPicture
from stream.clock import SessionClock
from stream.media import CHUNK_SAMPLES, FPS, PLAYOUT_SAMPLES, SAMPLE_RATE, AudioChunk
from tests.presenter.meeting.stand_ins import NoCamera, Told

RATE, UNIT = 30, 80.0
LOWER_LIP = [lower for _, lower in INNER_LIP_PAIRS]
SPOKEN = np.full((478, 3), 0.5, np.float32)  # what no face does


def face(opening: float, ajar: float = 0.0) -> np.ndarray:
    """A face with its lower lip down by an opening, inter-ocular distances; `ajar` however it is closed."""
    mesh = topology().reference.copy()
    upper, lower = np.array(INNER_LIP_PAIRS).T
    mesh[lower, 1] = mesh[upper, 1] + ajar + opening
    return (mesh * UNIT + [320, 240, 0]).astype(np.float32)


def play(seconds: float, user, delay_ms: float = 120.0) -> np.ndarray:
    """How far the lower lip of each frame is down, where the user's is where a function of time says, or away."""
    now = 0.0
    tracker = Told()
    clock = SessionClock(lambda: round(now * 1e9))
    shown, pictures = [], 0
    with HeadFollower(NoCamera(), clock, delay_ms=delay_ms, mouth=True, tracker=tracker) as follower:
        for frame in range(1, round(seconds * FPS) + 1):
            now = frame / FPS
            while pictures / RATE <= now:
                landmarks = user(pictures / RATE)
                tracker.faces = [] if landmarks is None else [landmarks]
                stamp = round(pictures / RATE * SAMPLE_RATE)
                follower._watch(WebcamPicture(np.zeros((2, 2, 3), np.uint8), pictures + 1, stamp))
                pictures += 1
            follower.at(frame)
            shown.append(follower.mouth(SPOKEN)[LOWER_LIP, 1].mean())
    return np.array(shown)


def talk(t: float) -> float:
    """Closed for a second and a half, then four syllables a second."""
    return 0.0 if t < 1.5 else 0.1 * (1 - np.cos(2 * np.pi * 4 * (t - 1.5))) / 2


def test_the_sound_moves_the_mouth_until_the_user_is_known():
    shown = play(3, lambda t: face(talk(t)))
    assert (shown[:25] == 0.5).all()
    assert np.abs(shown[32:38]).max() < 0.02, "and then the user does, whose lips are closed"


def test_nobody_before_the_webcam_leaves_the_mouth_to_the_sound():
    assert (play(3, lambda t: None) == 0.5).all()


@pytest.mark.parametrize("delay_ms", [120.0, 300.0])
def test_lips_move_as_far_as_the_users_at_the_moment_that_is_shown(delay_ms):
    shown = play(8, lambda t: face(talk(t)), delay_ms)[-120:]
    times = np.arange(81, 201) / FPS
    late = max(range(0, 500, 5), key=lambda ms: np.corrcoef(shown, [talk(t - ms / 1000) for t in times])[0, 1])
    assert 0 <= late - delay_ms <= 30, "a filter lags"
    assert np.corrcoef(shown, [talk(t - late / 1000) for t in times])[0, 1] > 0.97
    assert np.ptp(shown) == pytest.approx(0.1, rel=0.25)


def test_lips_that_do_not_close_quite_are_closed():
    shown = play(6, lambda t: face(talk(t), ajar=0.03))[75:]
    assert abs(shown.min()) < 0.02


def test_one_who_talks_from_the_first_second_on_has_closed_lips_too():
    shown = play(12, lambda t: face(talk(t + 1.5)))
    assert abs(shown[-50:].min()) < 0.02


def test_a_user_who_leaves_hands_the_mouth_to_the_sound_without_a_jump():
    shown = play(9, lambda t: face(0.0) if t < 4 or t > 6 else None)
    assert np.abs(shown[60:100]).max() < 0.01
    assert (shown[115:150] == 0.5).all(), "0.2 s later, within 4 frames"
    assert np.abs(shown[165:]).max() < 0.01
    assert max(abs(b - a) for a, b in pairwise(shown[26:])) < 0.2


def test_still_lips_are_still():
    rng = np.random.default_rng(0)
    mouth = UserMouth()
    shown = []
    for k in range(120):
        moved = mouth.follow(face(0.02) + rng.normal(0, 0.3, (478, 3)).astype(np.float32), k / RATE)
        if moved is not None and k > 60:
            shown.append(moved[LIPS])
    jitter = np.array(shown)[:, :, :2].std(0).mean()
    assert jitter < 0.75 * 0.3 / UNIT


def test_the_renderer_shows_the_mouth_of_its_motion(tmp_path):
    stored = IdentityStore(tmp_path).load("default")

    class Open:
        def at(self, frame):
            from models.head_motion import AT_REST

            return AT_REST, 0

        def mouth(self, spoken):
            moved = np.zeros_like(spoken)
            moved[LIPS, 1] = 0.03
            moved[LOWER_LIP, 1] = 0.12
            return moved

    renderer = Engine.load(load_config("tiny")).renderer(stored)
    renderer.motion = Open()
    silent = AudioChunk(np.zeros(CHUNK_SAMPLES, np.float32), np.zeros(PLAYOUT_SAMPLES, np.int16), 0)
    frames = [frame.rgb for _ in range(20) for _, frame in renderer.push(silent)]
    wanted = renderer._compositor.frame(Open().mouth(np.zeros((478, 3), np.float32)))
    assert np.array_equal(frames[-1], wanted)


def test_a_mouth_by_webcam_needs_a_webcam():
    settings = replace(load_config("tiny").camera, mouth="webcam")
    with pytest.raises(ConfigError, match="add --webcam"):
        _open_webcam(settings, SessionClock(), None)


# ---- with the real tracker, on a film of the default presenter ----

SLOWER = 2  # than real time, so that a busy machine has time to track


@pytest.mark.slow
def test_a_film_of_a_talking_person_moves_the_mouth(tmp_path, monkeypatch):
    voice = Voice.load()
    steady = replace(voice, scales=(0.0, voice.scales[1], 0.0))
    monkeypatch.setattr(Voice, "load", lambda: steady)
    film = tmp_path / "talk.mp4"
    text = "Mmm. Papa and mama bought a big blue boat today, at last. What a wide river it was, oh my."
    api.say(text, film, config="tiny")
    wanted = track_driver(film, lambda share, what: None)
    began = time.monotonic_ns()
    clock = SessionClock(lambda: (time.monotonic_ns() - began) // SLOWER)
    rows = []
    neutral = IdentityStore(tmp_path).load("default").identity.neutral
    with Webcam(str(film), clock) as camera:
        start = camera.newest().time
        with HeadFollower(camera, clock, mouth=True) as follower:
            frame = 0
            while camera.state == "live":
                frame += 1
                while clock.now() < frame * CHUNK_SAMPLES:
                    time.sleep(0.002)
                follower.at(frame)
                shown = float(aperture(neutral + follower.mouth(np.zeros((478, 3), np.float32))))
                rows.append([(follower._moments.now - start) / SAMPLE_RATE, shown])
    times, shown = np.array([row for row in rows if 1.6 < row[0] < float(wanted.duration) - 0.1]).T

    def asked(late_s: float) -> np.ndarray:
        return np.array([aperture(neutral + wanted.at(Fraction(t - late_s))) for t in times])

    late = max(np.arange(-0.1, 0.15, 0.01), key=lambda each: np.corrcoef(shown, asked(each))[0, 1])
    r = np.corrcoef(shown, asked(late))[0, 1]
    gain = np.polyfit(asked(late), shown, 1)[0]
    print(f"aperture: r = {r:.3f}, gain {gain:.2f}, {1000 * late:.0f} ms late")
    assert r > 0.9
    assert 0.75 < gain < 1.25
    assert abs(late) <= 0.05
