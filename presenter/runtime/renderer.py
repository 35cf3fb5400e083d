"""The renderer: audio chunks in, matching frames out, for one identity and one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from models.compositor import FrameCompositor
from models.detail import Mouth
from models.device.compositor import DeviceCompositor
from models.head_motion import AT_REST, FPS, Handover, HeadMotion, HeadPose, IdleMotion, glance
from models.identity import Identity, SpeakingStyle
from models.live_motion import MotionStreams
from models.mesh import Floats
from models.speech_motion import SpeechMotion, SpeechState
from models.upper_face import UpperFace, looking
from presenter.runtime.frame_renderer import FrameRenderer, RenderFrame
from stream.media import CHUNK_SAMPLES, PLAYOUT_SAMPLES, AudioChunk, VideoFrame, silence

CLOSING = (0.45,)
"""Share of the mouth's last shape in the frames after an interrupt; the next one is at rest. With the path to
the screen that is the 80 to 120 ms in which lips close."""
_HANDOVER_FRAMES = FPS // 2  # duration of the blend into another motion
_STYLE_SHARE = 0.3  # of the way to another speaking style, per frame
_REMEMBERED_FRAMES = 64  # more than a playout queue and the look-ahead hold


class _Moved(NamedTuple):
    """How a frame was moved: what an interrupt goes back to."""

    pts: int
    frame: int
    displacement: Floats
    speech: SpeechState


class Renderer:
    """Turns 40 ms of sound into a frame, `latency_samples` later.

    Synchronous. `advance` and `interrupt` belong to one thread, the functions that render frames to one, which may be
    another. Two renderers share weights and nothing else.

    Args:
        streams: Audio to motion.
        compositor: Motion to frames.
        identity: The identity to show.
        release: Called once when the renderer is closed.
        head_motion: How far speech moves the head, 0 (not at all) to 1, while no other motion is set.
    """

    def __init__(
        self,
        streams: MotionStreams,
        compositor: FrameCompositor | DeviceCompositor,
        identity: Identity,
        release: Callable[[], None] = lambda: None,
        *,
        head_motion: float = 0.0,
    ) -> None:
        self._streams = streams
        self._stream = streams.take()
        self._compositor = compositor
        self._identity = identity
        self._release = release
        self._closed = False
        self.speaking_style = identity.speaking_style
        self._style = self._style_goal
        self._waiting: deque[AudioChunk] = deque()
        self._frame = 0
        self._moved: deque[_Moved] = deque(maxlen=_REMEMBERED_FRAMES)
        self._closing_from: Floats | None = None
        self._closing = 0
        self._matte = False
        self._mouth: _Moved | None = None  # whose mouth was rendered last
        self._rendered: Mouth | None = None  # what was rendered then
        self.motion: HeadMotion = IdleMotion()
        """What moves head and eyelids. May be exchanged from any thread: the head continues from its visible pose."""
        self._followed: HeadMotion = self.motion
        self._handover = Handover()
        self._head_motion = head_motion
        self._speech_motion = SpeechMotion()
        self._speech = SpeechState()

    @property
    def size(self) -> tuple[int, int]:
        """`(height, width)` of the frames."""
        height, width = self._identity.frame.shape[:2]
        return height, width

    @property
    def speaking_style(self) -> SpeakingStyle | None:
        """How the mouth moves, None for the neutral style; may be exchanged from any thread, and changes gradually."""
        return self._speaking_style

    @speaking_style.setter
    def speaking_style(self, style: SpeakingStyle | None) -> None:
        self._style_goal = self._streams.network.padded_style(style)
        self._speaking_style = style

    @property
    def matte(self) -> bool:
        """Whether frames carry their `cutout`."""
        return self._matte

    def add_matte(self) -> None:
        """Let frames carry their `cutout`, from the next one on.

        May be called from any thread, and takes seconds for a presenter that was enrolled without a matte.

        Raises:
            MattingError: If the presenter has no matte and none can be made; the frames stay as they are.
        """
        self._compositor.prepare_cutout()
        self._matte = True

    def remove_matte(self) -> None:
        """Let frames carry no `cutout`, from the next one on; may be called from any thread."""
        self._matte = False

    @property
    def latency_samples(self) -> int:
        """How much sound after a frame's own chunk the model needs, in samples at 16 kHz."""
        return self._streams.network.latency_samples

    def push(self, chunk: AudioChunk) -> list[tuple[AudioChunk, VideoFrame]]:
        """Process a chunk and render the frame that is complete with it.

        Returns:
            The chunk pushed `latency_samples` ago with its frame, or nothing while the look-ahead fills.
        """
        return [(complete, render()) for complete, render in self.advance(chunk)]

    def advance(self, chunk: AudioChunk) -> list[tuple[AudioChunk, RenderFrame]]:
        """Process a chunk of audio; see `FrameRenderer.advance`."""
        displacement = self._stream.step(chunk.pcm, self._current_style())
        self._waiting.append(chunk)
        if len(self._waiting) * CHUNK_SAMPLES <= self.latency_samples:
            return []
        complete = self._waiting.popleft()
        self._frame += 1
        self._speech = self._speech_motion.step(self._speech, complete.pcm)
        moved = _Moved(complete.pts, self._frame, self._close(displacement), self._speech)
        self._moved.append(moved)
        return [(complete, partial(self._render, moved))]

    def interrupt(self, shown_pts: int | None, pts: int) -> int:
        """Interrupt: drop what was pushed, continue from the frame on the screen, and close the mouth.

        The frames rendered ahead will not be shown, so head and eyelids continue from their visible state, and
        the mouth closes from its visible shape. Silence needs no look-ahead: a fresh state begins with it.

        Args:
            shown_pts: `pts` of the frame on the screen, or None if there is none.
            pts: where the timeline continues.

        Returns:
            The pts of the chunk to push next.
        """
        shown = next((moved for moved in reversed(self._moved) if moved.pts == shown_pts), None)
        self.reset()
        if shown is not None:
            self._frame, self._closing_from, self._closing = shown.frame, shown.displacement, 0
            self._speech = shown.speech
        while len(self._waiting) * CHUNK_SAMPLES < self.latency_samples:
            self._waiting.append(silence(pts))
            pts += CHUNK_SAMPLES
        return pts

    def _close(self, displacement: Floats) -> Floats:
        """Blend from the shape at the interrupt to the one for silence."""
        if self._closing_from is None:
            return displacement
        left = CLOSING[self._closing]
        blended: Floats = left * self._closing_from + (1 - left) * displacement
        self._closing += 1
        if self._closing == len(CLOSING):
            self._closing_from = None
        return blended

    def flush(self) -> list[tuple[AudioChunk, VideoFrame]]:
        """Return what the look-ahead still holds, as if silence followed; then `reset`."""
        pairs: list[tuple[AudioChunk, VideoFrame]] = []
        silence = np.zeros(CHUNK_SAMPLES, np.float32)
        audio = np.zeros(PLAYOUT_SAMPLES, np.int16)
        held = len(self._waiting)
        while len(pairs) < held:
            pts = self._waiting[-1].pts + CHUNK_SAMPLES
            pairs += self.push(AudioChunk(silence, audio, pts))
        self.reset()
        return pairs

    def reset(self) -> None:
        """Drop what was pushed; head motion continues."""
        self._waiting.clear()
        self._stream.reset()
        self._closing_from = None

    def take_over(self, other: FrameRenderer) -> None:
        """Continue where another presenter stops, as if this one had processed all of it.

        Args:
            other: made by the same engine; must not be used afterwards.

        Raises:
            TypeError: If it is not a `Renderer`.
        """
        if not isinstance(other, Renderer):
            raise TypeError(f"take_over: expected a Renderer, got {type(other).__name__}")
        self._stream, other._stream = other._stream, self._stream
        self._waiting, self._frame = other._waiting, other._frame
        self._moved, self._closing_from, self._closing = other._moved, other._closing_from, other._closing
        self.motion, self._followed, self._handover = other.motion, other._followed, other._handover
        self._speech_motion, self._speech = other._speech_motion, other._speech
        self._style = other._style
        if other.speaking_style is not other._identity.speaking_style:  # one that was chosen, not the presenter's own
            self.speaking_style = other.speaking_style

    def close(self) -> None:
        """Free the slot; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._streams.give_back(self._stream)
            self._release()

    def _render(self, moved: _Moved, *, keep_mouth: bool = False) -> VideoFrame:
        pose, eyelids, upper = self._move(moved)
        if not keep_mouth or self._mouth is None:
            self._mouth = moved._replace(displacement=self._followed.mouth(moved.displacement))
            self._rendered = None
        mouth = self._mouth
        # A mouth that is kept belongs to its frame of a film; a still's goes with the head.
        number = moved.frame if self._identity.template is None else mouth.frame
        compositor = self._compositor
        if self._matte:
            rgb, cutout = compositor.compose_with_cutout(self._rendered_of(mouth), pose, eyelids, number, upper)
            return VideoFrame(rgb, moved.pts, cutout)
        if isinstance(compositor, DeviceCompositor):
            return VideoFrame.of_i420(compositor.frame(mouth.displacement, pose, eyelids, number), moved.pts)
        return VideoFrame(compositor.compose(self._rendered_of(mouth), pose, eyelids, number, upper), moved.pts)

    def _rendered_of(self, mouth: _Moved) -> Mouth:
        if self._rendered is None:
            self._rendered = self._compositor.mouth(mouth.displacement, mouth.frame)
        return self._rendered

    def _move(self, moved: _Moved) -> tuple[HeadPose, int, UpperFace | None]:
        motion, upper = self.motion, None
        pose, eyelids = motion.at(moved.frame)
        if isinstance(motion, IdleMotion) and self._identity.template is not None:
            pose = AT_REST  # a video has a motion of its own
        elif isinstance(motion, IdleMotion):
            spoken = moved.speech.pose(self._head_motion)
            pose = HeadPose(*(idle + speech for idle, speech in zip(pose, spoken, strict=True)))
            upper = looking(*glance(moved.frame))
        if motion is not self._followed:
            self._followed = motion
            self._handover.begin(moved.frame, pose, _HANDOVER_FRAMES)
        return self._handover.apply(moved.frame, pose), eyelids, upper

    def _current_style(self) -> torch.Tensor:
        with torch.inference_mode():
            self._style = torch.lerp(self._style, self._style_goal, _STYLE_SHARE)
        return self._style
