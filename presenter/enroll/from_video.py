"""From a video of a person to an identity with a living template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from models.crop import crop_transform, cut_crop
from models.eyelids import draw_blinks
from models.identity import Identity
from models.mesh import Floats, Pose, canonicalise
from models.template import LivingTemplate, compress
from models.tracker.detector import FaceDetector
from presenter.enroll.checks import Warn, check_face
from presenter.enroll.faces import find_faces
from presenter.enroll.filmed import FilmedFace, upright_frames
from presenter.enroll.photo import FRAME_SIZE, close_lips, head_box, matte_of, style_code_of
from presenter.enroll.stretch import MIN_FRAMES, Stretch, best_frame, find_stretch
from presenter.enroll.video import DecodedVideo
from presenter.enroll.video_checks import VideoFacts, check_video, check_video_exposure, without_stretch
from presenter.errors import EnrollError, MediaError
from presenter.runtime.networks import Networks
from presenter.video.face_track import Face, FaceTrack, track_face
from presenter.video.speaking_style import speaking_style
from stream.files.reader import TimedFrame
from stream.media import FPS

Picture = NDArray[np.uint8]
Progress = Callable[[float, str], None]

_ORIENTATION_FRAMES = 3  # frames a second apart that vote on how the video is held
_MATTE_EVERY = 4  # frames; between them mattes are blended: a quiet person moves little
_LOOK = (64, 64)  # pixels at which pictures are compared
_JUMP, _JUMP_TIMES = 6.0, 4.0  # grey values, and times the usual step: more is another shot, or another light
_POSE_SMOOTH = 2.0  # frames: standard deviation of the filter over the pose of a quiet head


def enroll_video(
    video: DecodedVideo, name: str, progress: Progress, networks: Networks, *, warn: Warn
) -> tuple[Identity, FilmedFace]:
    """Make an identity from a video; without a quiet second in it, one with a still picture.

    Args:
        video: 3 to 60 seconds of one person, held in any way.
        name: The presenter's name.
        progress: Called with the share of the work that is done, 0..1, and a message.
        networks: The networks that will render it.
        warn: Called with each warning about a video that is used nevertheless.

    Raises:
        EnrollError: Says what the video lacks and what to do.
    """
    turns = _orientation(video, warn)
    facts = VideoFacts()
    track = _track(video, turns, facts, progress)
    check_video(track, facts, video, warn)
    stretch = find_stretch(track.faces)
    if stretch is None:
        best = best_frame(track.faces)
        stretch = Stretch(best, best + 1, best)
    progress(0.5, "Cutting the quiet part")
    cut, stretch = _without_scene_cut(_cut(video, turns, track, stretch, warn), stretch)
    if len(cut.pictures) == 1:
        warn(without_stretch())
    progress(0.6, "Cutting out the background")
    template = _template(cut, networks)
    still = template.frame(stretch.best - stretch.begin)
    mattes = _mattes(cut.pictures) if len(template) > 1 else []
    progress(0.9, "Computing the style code")
    style = style_code_of(cut_crop(still.picture, crop_transform(still.pose)), networks.generator)
    landmarks = still.pose.project(still.mesh)
    filmed = FilmedFace(video, turns, track, cut.scale)
    identity = Identity(
        name=name,
        frame=still.picture,
        mesh=still.mesh,
        neutral=still.rest,
        pose=still.pose,
        style_code=style,
        style_of=networks.generator.fingerprint,
        speaking_style=speaking_style(track.faces, track.neutral, networks.syncformer),
        blinks=draw_blinks(still.picture, landmarks),
        matte=matte_of(still.picture),
        template=_with_mattes(template, mattes) if len(template) > 1 else None,
        references=filmed.references(),
    )
    return identity, filmed


def _orientation(video: DecodedVideo, warn: Warn) -> int:
    """How many quarter turns make the video upright, by the faces in its first seconds."""
    looked: Picture | None = None
    for _, rgb in video.frames([FPS * second for second in range(_ORIENTATION_FRAMES)]):
        looked = rgb
        turns, faces = find_faces(rgb)
        if faces:
            if turns:
                warn(f"the video was turned by {90 * turns} degrees; it was turned upright")
            return turns
    if looked is not None:
        check_video_exposure(looked)
    return 0


def _track(video: DecodedVideo, turns: int, facts: VideoFacts, progress: Progress) -> FaceTrack:
    detector = FaceDetector()

    def timed() -> Iterator[TimedFrame]:
        for index, rgb in upright_frames(video, turns):
            if index % FPS == 0:
                facts.note(rgb, [region.side for region, _ in detector.detections(rgb, 4)])
                progress(min(0.05 + index / 4000, 0.45), f"Following the face: {index // FPS} s")
            yield TimedFrame(rgb, Fraction(index, FPS))

    try:
        return track_face(timed())
    except MediaError as error:
        raise EnrollError(f"{error}; {_ADVICE}") from error


_ADVICE = "video one face from the front, well lit and in focus"


@dataclass(frozen=True, eq=False)
class _Cut:
    """Head and shoulders of the frames of a stretch.

    Attributes:
        pictures: `[512, 512, 3]` each.
        faces: In them.
        scale: By how much the video was shrunk.
    """

    pictures: list[Picture]
    faces: list[Face]
    scale: float


def _cut(video: DecodedVideo, turns: int, track: FaceTrack, stretch: Stretch, warn: Warn) -> _Cut:
    """Cut the same square out of every frame of the stretch; the one that stands for them is checked as a photo is."""
    faces = _steady([_sure(track.faces[i]) for i in range(stretch.begin, stretch.end)])
    height, width = track.size
    middle = Pose(
        float(np.mean([face.pose.scale for face in faces])),
        faces[len(faces) // 2].pose.rotation,
        np.mean([face.pose.translation for face in faces], 0).astype(np.float32),
    )
    left, top, side = head_box(middle, width, height)
    scale = FRAME_SIZE / side
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pictures: list[Picture] = []
    for index, rgb in upright_frames(video, turns, list(range(stretch.begin, stretch.end))):
        if index == stretch.best:
            face = faces[index - stretch.begin]
            check_video_face(rgb, face, warn)
        part = rgb[top : top + side, left : left + side]
        pictures.append(cv2.resize(part, (FRAME_SIZE, FRAME_SIZE), interpolation=how).astype(np.uint8))
    # A pixel's centre lies at half a pixel: u = scale * (x - left + 0.5) - 0.5.
    half = np.array([0.5, 0.5, 0], np.float32)
    offset = np.array([left, top, 0], np.float32) - half
    moved = [_moved(face, scale, scale * -offset - half) for face in faces]
    return _Cut(pictures, moved[: len(pictures)], scale)


def _without_scene_cut(cut: _Cut, stretch: Stretch) -> tuple[_Cut, Stretch]:
    """The longest part of a stretch in which the whole picture never changes at once; one frame if none lasts."""
    small = [cv2.resize(picture, _LOOK, interpolation=cv2.INTER_AREA).astype(np.float32) for picture in cut.pictures]
    steps = np.array([float(np.abs(a - b).mean()) for a, b in pairwise(small)])
    if not len(steps):
        return cut, stretch
    jumps = np.flatnonzero(steps > max(_JUMP_TIMES * float(np.median(steps)), _JUMP)) + 1
    edges = [0, *(int(jump) for jump in jumps), len(cut.pictures)]
    begin, end = max(pairwise(edges), key=lambda part: part[1] - part[0])
    if end - begin < MIN_FRAMES:
        begin = stretch.best - stretch.begin
        end = begin + 1
    best = min(max(stretch.best, stretch.begin + begin), stretch.begin + end - 1)
    part = _Cut(cut.pictures[begin:end], cut.faces[begin:end], cut.scale)
    return part, Stretch(stretch.begin + begin, stretch.begin + end, best)


def check_video_face(rgb: Picture, face: Face, warn: Warn) -> None:
    """`check_face` for a frame of a video.

    Raises:
        EnrollError: If the face can't be used; states what was measured and what to do.
    """
    try:
        check_face(rgb, face.pose.project(face.mesh), face.pose, lambda doubt: warn(doubt.replace("photo", "video")))
    except EnrollError as error:
        raise EnrollError(str(error).replace("photo", "video")) from error


def _moved(face: Face, scale: float, offset: Floats) -> Face:
    """The face in a picture that is `scale` times as large and shifted by `offset` pixels of its own."""
    return Face(face.mesh, Pose(face.pose.scale * scale, face.pose.rotation, scale * face.pose.translation + offset))


def _sure(face: Face | None) -> Face:
    assert face is not None, "a stretch holds no frame without a face"
    return face


def _steady(faces: list[Face]) -> list[Face]:
    """The same faces with poses that do not tremble: what a quiet head does in two frames is slow."""
    landmarks = np.stack([face.pose.project(face.mesh) for face in faces])
    if len(faces) > 1:
        flat = landmarks.reshape(len(faces), -1)
        landmarks = cv2.GaussianBlur(
            flat, (1, 0), sigmaX=1e-6, sigmaY=_POSE_SMOOTH, borderType=cv2.BORDER_REFLECT_101
        ).reshape(landmarks.shape)
    return [Face(*canonicalise(points.astype(np.float32))) for points in landmarks]


def _template(cut: _Cut, networks: Networks) -> LivingTemplate:
    meshes = np.stack([face.mesh for face in cut.faces])
    neutral = close_lips(meshes.mean(0).astype(np.float32), networks.syncformer.movements())
    pictures = [compress(picture) for picture in cut.pictures]
    return LivingTemplate(pictures, [], meshes, [face.pose for face in cut.faces], neutral)


def _mattes(pictures: list[Picture]) -> list[bytes]:
    """A matte per frame, drawn for some and blended between them; none where one can't be drawn."""
    drawn: dict[int, Floats] = {}
    last = len(pictures) - 1
    for index in sorted({*range(0, len(pictures), _MATTE_EVERY), last}):
        matte = matte_of(pictures[index])
        if matte is None:
            return []
        drawn[index] = matte.astype(np.float32)
    mattes = []
    for index in range(len(pictures)):
        before = index - index % _MATTE_EVERY
        after = min(before + _MATTE_EVERY, last)
        share = (index - before) / max(after - before, 1)
        mattes.append(compress(np.rint(drawn[before] + share * (drawn[after] - drawn[before])).astype(np.uint8)))
    return mattes


def _with_mattes(template: LivingTemplate, mattes: list[bytes]) -> LivingTemplate:
    return LivingTemplate(template.pictures, mattes, template.meshes, template.poses, template.neutral)
