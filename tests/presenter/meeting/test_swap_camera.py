"""The user with another face, live: never the user's own, and a still with its reason wherever it can't be swapped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.mesh import Pose, aperture, canonicalise
from models.tracker import FaceTracker
from presenter import api
from presenter.bench.pulse_server import PulseServer
from presenter.cli import main
from presenter.config import load_config
from presenter.errors import ConfigError, ConsentError
from presenter.meeting.face_watcher import FaceWatcher
from presenter.meeting.meeting import Meeting
from presenter.meeting.setup import open_meeting
from presenter.meeting.status import Shows, Swap
from presenter.meeting.status_line import StatusLine
from presenter.meeting.swap_renderer import SwapRenderer
from presenter.meeting.terminal import KEYS, Controls
from presenter.runtime.identities import IdentityStore
from presenter.runtime.identity_folder import StoredIdentity, consent_now
from presenter.video.face_track import track_face
from presenter.video.live_swap import LiveSwap
from presenter.video.swap import prepare_swap, source_texture
from stream.camera.webcam import Webcam, WebcamPicture
from stream.clock import SessionClock
from stream.files.reader import iter_frames
from stream.media import CHUNK_SAMPLES, FPS, SAMPLE_RATE, VideoFrame, silence
from tests.presenter.meeting.stand_ins import NoCamera, Told
from tests.presenter.meeting.test_meeting import Screen, attend, screen, settings, syllables, until

__all__ = ["screen"]

SIZE = 512, 512
TALK_S, APART_S, AGAIN_S, AWAY_S = 4.0, 1.0, 2.0, 1.0
SLOWER = 3  # than real time, so that a busy machine has time to track


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Frames of the shipped presenter, who talks."""
    path = tmp_path_factory.mktemp("user") / "talk.mp4"
    api.say("Papa and mama bought a big blue boat today, at last.", path, config="tiny", progress=lambda *_: None)
    return [cv2.resize(frame.rgb, SIZE, interpolation=cv2.INTER_AREA) for frame in iter_frames(path)]


@pytest.fixture(scope="module")
def film(talk: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """They talk, are two, talk again and leave."""
    path = tmp_path_factory.mktemp("film") / "user.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    several = np.tile(cv2.resize(talk[0], None, fx=0.5, fy=0.5), (2, 2, 1))
    for seconds, frames in ((TALK_S, talk), (APART_S, [several]), (AGAIN_S, talk), (AWAY_S, [talk[0] // 8 * 0 + 90])):
        for k in range(round(seconds * FPS)):
            writer.write(np.ascontiguousarray(frames[k % len(frames)][..., ::-1]))
    writer.release()
    return path


@pytest.fixture(scope="module")
def ada() -> StoredIdentity:
    """Another face, with a fine grid about its nose that no light changes: whoever wears it shows the grid."""
    stored = IdentityStore(Path()).load("sam").shrunk(512)
    frame = stored.identity.frame.copy()
    above_the_mouth = frame[:310]
    above_the_mouth[::6] //= 2
    above_the_mouth[:, ::6] //= 2
    return StoredIdentity(replace(stored.identity, name="Ada", frame=frame), None, consent_now("Test"))


def grid_in(rgb: np.ndarray, rows: slice = slice(235, 300), columns: slice = slice(215, 300)) -> float:
    """How much fine detail there is about the nose and cheeks of the shipped presenter."""
    grey = rgb[rows, columns].mean(-1).astype(np.float32)
    return float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3)).mean())


class Scene:
    """A user of whom a test says what is seen, by the pictures' own time."""

    def __init__(self, stored: StoredIdentity) -> None:
        self.now = 0.0
        self.clock = SessionClock(lambda: round(self.now * 1e9))
        self.tracker = Told()
        self.watcher = FaceWatcher(NoCamera(), tracker=self.tracker)  # type: ignore[arg-type]
        self.renderer = SwapRenderer(stored, self.watcher, self.clock, SIZE)
        self.still = self.renderer._still

    def look(self, seconds: float, rgb: np.ndarray, faces: list[np.ndarray]) -> Iterator[tuple[Swap, np.ndarray]]:
        """Frames while the webcam sees that: what they are said to show, and what they do."""
        self.tracker.faces = faces
        for _ in range(round(seconds * FPS)):
            self.now += 1 / FPS
            self.watcher._watch(WebcamPicture(rgb, 1, round(self.now * SAMPLE_RATE)))
            yield self.frame()

    def frame(self) -> tuple[Swap, np.ndarray]:
        pts = round(self.now * FPS) * CHUNK_SAMPLES
        done = self.renderer.advance(silence(pts))
        picture = done[0][1]().rgb if done else self.still
        return self.watcher.shows, picture


@pytest.fixture(scope="module")
def tracked(talk: list[np.ndarray]) -> np.ndarray:
    with FaceTracker(video=False, max_faces=1) as tracker:
        return tracker.track(talk[0])[0]


def turned(landmarks: np.ndarray) -> np.ndarray:
    """The same face, turned by 50 degrees."""
    mesh, pose = canonicalise(landmarks)
    c, s = np.cos(np.radians(50)), np.sin(np.radians(50))
    return Pose(pose.scale, pose.rotation @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), pose.translation).project(
        mesh
    )


def covered(rgb: np.ndarray) -> np.ndarray:
    """A picture with a patterned scarf from the brows to the lips."""
    pattern = np.random.default_rng(0).integers(0, 255, (10, 32, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    return np.concatenate([rgb[:140], pattern, rgb[300:]])


def test_whatever_can_t_be_swapped_is_a_still_with_its_reason(ada, talk, tracked) -> None:
    scene = Scene(ada)
    rgb = talk[0]
    first = list(scene.look(1.0, rgb, [tracked]))
    assert {state for state, _ in first[4:]} == {Swap.LEARNING}
    assert all(np.array_equal(picture, scene.still) for _, picture in first)
    for reason, picture, faces in [
        (Swap.NOBODY, rgb, []),
        (Swap.SEVERAL, rgb, [tracked, tracked + 150]),
        (Swap.TURNED, rgb, [turned(tracked)]),
        (Swap.SMALL, rgb, [tracked / 8]),
        (Swap.COVERED, covered(rgb), [tracked]),
    ]:
        shown = list(scene.look(2.0, rgb, [tracked]))[-5:]
        assert all(state is Swap.SWAPPED and grid_in(frame) > 2 * grid_in(rgb) for state, frame in shown), reason
        gone = list(scene.look(0.4, picture, faces))[4:]  # what was seen before is shown 120 ms later
        assert all(state is reason and np.array_equal(frame, scene.still) for state, frame in gone), reason
        back = list(scene.look(0.32, rgb, [tracked]))[4:]
        assert all(np.array_equal(frame, scene.still) for _, frame in back), "no flicker"
    list(scene.look(2.0, rgb, [tracked]))
    scene.watcher.hidden = True
    assert scene.frame()[0] is Swap.OFF
    assert np.array_equal(scene.frame()[1], scene.still)
    scene.watcher.hidden = False
    scene.now += 1.0
    assert scene.frame()[0] is Swap.STOPPED
    scene.watcher.close()


def test_a_face_that_stays_covered_is_learnt_as_it_is_then(ada, talk, tracked) -> None:
    scene = Scene(ada)
    masked = covered(talk[0])
    list(scene.look(2.0, talk[0], [tracked]))
    states = [state for state, _ in scene.look(5.0, masked, [tracked])]
    assert states[20] is Swap.COVERED
    assert states[-1] is Swap.SWAPPED
    scene.watcher.close()


def test_the_swap_as_it_happens_is_that_of_the_whole_video(ada, talk, tmp_path) -> None:
    path = tmp_path / "talk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    for rgb in talk[:60]:
        writer.write(np.ascontiguousarray(rgb[..., ::-1]))
    writer.release()
    frames = list(iter_frames(path))
    track = track_face(frames)
    offline, live = prepare_swap(path, track, ada), LiveSwap(source_texture(ada))
    for index, (frame, face) in enumerate(zip(frames, track.faces, strict=True)):
        assert face is not None
        made = live.swap(frame.rgb, face, index / FPS)
        assert (made is None) == (index < FPS), "a second to learn"
        if made is not None and index % 5 == 0:
            whole = offline.swap(frame.rgb, face.mesh, face.pose).astype(int)
            assert np.abs(made - whole).mean() < 0.25 * np.abs(whole - frame.rgb).mean()


def test_a_film_as_webcam_is_shown_with_another_face_and_never_with_its_own(film, ada) -> None:
    began: list[int] = []  # time stands still until all is made
    clock = SessionClock(lambda: (time.monotonic_ns() - began[0]) // SLOWER if began else 0)
    rows: list[tuple[float, Swap, np.ndarray]] = []
    with Webcam(str(film), clock) as camera:
        start = camera.newest().time  # type: ignore[union-attr]
        with FaceWatcher(camera) as watcher:
            renderer = SwapRenderer(ada, watcher, clock, SIZE)
            began.append(time.monotonic_ns())
            frame = 0
            while camera.state == "live" or watcher.shows is not Swap.STOPPED:
                while clock.now() < frame * CHUNK_SAMPLES:
                    time.sleep(0.002)
                done = renderer.advance(silence(frame * CHUNK_SAMPLES))
                frame += 1
                if done:
                    picture = done[0][1]().rgb
                    rows.append(((renderer._moments.now - start) / SAMPLE_RATE, watcher.shows, picture))
    user = [each.rgb for each in iter_frames(film)]
    own = max(grid_in(rgb) for rgb in user[: round(TALK_S * FPS)])
    for _, state, picture in rows:
        if state is Swap.SWAPPED:
            assert grid_in(picture) > 2 * own
        else:
            assert np.array_equal(picture, renderer._still)
    middle = {"talk": (1.8, TALK_S - 0.1), "several": (TALK_S + 0.1, TALK_S + APART_S - 0.1)}
    middle["away"] = TALK_S + APART_S + AGAIN_S + 0.1, TALK_S + APART_S + AGAIN_S + AWAY_S - 0.2
    seen = {name: {state for t, state, _ in rows if low < t < high} for name, (low, high) in middle.items()}
    assert seen["talk"] == {Swap.SWAPPED}
    assert seen["several"] - {Swap.NOBODY} == {Swap.SEVERAL}, "where a face was lost, others are not found at once"
    assert seen["away"] == {Swap.NOBODY}

    # The lips are the user's, at the moment that is shown.
    with FaceTracker(video=True, max_faces=1) as tracker:
        wanted = [float(aperture(canonicalise(tracker.track(rgb)[0])[0])) for rgb in user[: round(TALK_S * FPS)]]
        talking = [(t, picture) for t, _, picture in rows if 1.8 < t < TALK_S - 0.1]
        shown = [float(aperture(canonicalise(tracker.track(picture)[0])[0])) for _, picture in talking]
    times = np.array([t for t, _ in talking])
    asked = {
        late: np.interp(times - late, np.arange(len(wanted)) / FPS, wanted) for late in np.arange(-0.2, 0.21, 0.02)
    }
    r = {late: np.corrcoef(shown, values)[0, 1] for late, values in asked.items()}
    late = max(r, key=lambda each: r[each])
    print(f"opening: r = {r[late]:.3f}, {1000 * late:.0f} ms late")
    assert r[late] > 0.85
    assert abs(late) <= 0.06


@pytest.mark.usefixtures("screen")
def test_in_a_meeting_with_sound(film: Path, ada: StoredIdentity, tmp_path: Path, pulse: PulseServer) -> None:
    IdentityStore(tmp_path).save(ada.identity, ada.consent)
    looped = tmp_path / "user.mp4"
    writer = cv2.VideoWriter(str(looped), cv2.VideoWriter.fourcc(*"mp4v"), 12, SIZE)
    for frame in [each.rgb for each in iter_frames(film)][: round(TALK_S * FPS)] * 5:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()

    async def scenario(meeting: Meeting) -> None:
        controls = Controls(meeting, StatusLine(KEYS))
        pulse.play("talk", syllables(60))
        await until(lambda: meeting.status().webcam is Swap.SWAPPED, 30, told=meeting.status)
        await until(lambda: meeting.status().speaking, told=meeting.status)
        assert "Presenters: 1 Ada." in meeting.introduction(), "only those whose consent is recorded"
        assert meeting.shown == "Ada"
        controls.press("w")
        await until(lambda: meeting.status().webcam is Swap.OFF)
        await asyncio.sleep(0.5)
        Screen.pictures.clear()
        await until(lambda: len(Screen.pictures) > 10)
        assert all(np.array_equal(one, Screen.pictures[0]) for one in Screen.pictures)
        assert meeting.status().speaking, "the voice goes on"
        controls.press("w")
        await until(lambda: meeting.status().webcam is Swap.SWAPPED, 30, told=meeting.status)
        controls.press("p")
        await until(lambda: meeting.status().webcam is Swap.OFF)
        assert meeting.status().shows is Shows.IDLE

    attend(settings(tmp_path, face="ada", webcam=str(looped)), scenario)


@pytest.mark.parametrize(
    ("camera", "error", "message"),
    [
        ({"face": "sam", "mouth": "webcam", "style": "Lively"}, ConfigError, "leave out --mouth, --style"),
        ({"face": "sam", "background": "blur"}, ConfigError, "leave out --background"),
        ({"face": "sam"}, ConsentError, "'sam'"),
        ({"consent": "Ada L."}, ConfigError, "add --face PHOTO"),
        ({"face": "nobody.jpg"}, Exception, "found no 'nobody.jpg'"),
    ],
)
def test_what_can_t_be_is_said_before_a_device_is_opened(tmp_path: Path, camera, error, message) -> None:
    async def run() -> None:
        async with open_meeting(settings(tmp_path, **camera), "default", backend="none"):
            raise AssertionError("opened")

    with pytest.raises(error, match=message):
        asyncio.run(run())


def test_a_presenter_is_not_named_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["camera", "--face", "sam", "--presenter", "default"]) == 2
    assert "leave out --presenter" in capsys.readouterr().err


def test_a_camera_of_another_shape_gets_bars(ada: StoredIdentity) -> None:
    from presenter.meeting.swap_renderer import fitted
    from stream.framing.canvas import Canvas

    wide = fitted(np.full((480, 640, 3), 200, np.uint8), (1280, 720))
    assert wide.shape == (720, 1280, 3)
    assert (wide[:, 160:1120] == 200).all()
    assert not wide[:, :160].any()
    assert not wide[:, 1120:].any()
    assert np.array_equal(Canvas("720p").compose(VideoFrame(wide, 0)), wide), "the camera shows it as it is"
    assert load_config("cpu").camera.face == ""
