"""Errors of the streaming layer.

StreamError
├── MediaFileError      a file can't be read or written as audio or video
├── NegotiationError    an SDP offer can't be answered
├── TargetError         the target of a publication is not allowed
├── DeviceError         a microphone or sound output can't be found or opened
├── CameraError         a virtual camera can't be opened (stream.camera.drivers)
├── CanvasError         a background or a size can't be used (stream.framing.canvas)
├── WebcamError         a camera that looks at the user can't be opened (stream.camera.webcam)
├── WireError           a message of a speech socket can't be understood (stream.wire)
└── SpeechFullError     there is no room for more speech now (stream.playout.speech)
"""

from __future__ import annotations


class StreamError(Exception):
    """Wrong input at the boundary of `stream`; the text says what was expected and what was got."""


class MediaFileError(StreamError):
    """A media file is missing, unreadable, or lacks the requested stream."""


class NegotiationError(StreamError):
    """A WebRTC offer is malformed or shares no codec with this side."""


class TargetError(StreamError):
    """The target of a publication is not allowed."""


class DeviceError(StreamError):
    """A microphone or sound output can't be found or opened; the text says what there is, or what to install."""
