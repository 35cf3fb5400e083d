"""A thread that looks at the pictures of a webcam for a face."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from models.tracker import FaceTracker
from stream.camera.webcam import Webcam, WebcamPicture

_WAIT_S = 0.1  # for a picture

_log = logging.getLogger(__name__)


class WebcamWatcher(ABC):
    """Hands every new picture of a webcam to `_watch`, in a thread of its own, until it is closed."""

    def __init__(self, webcam: Webcam, tracker: FaceTracker, name: str) -> None:
        """Begin to watch: what `_watch` needs has to be there.

        Args:
            webcam: the caller closes it, after this.
            tracker: closed by `close`.
            name: of the thread, and what is said to have failed if it fails.
        """
        self._webcam = webcam
        self._tracker = tracker
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching. Safe to call twice."""
        self._closing.set()
        self._thread.join()
        self._tracker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        number = 0
        try:
            while not self._closing.is_set():
                picture = self._webcam.newest(after=number, timeout_s=_WAIT_S)
                if picture is None:
                    self._closing.wait(_WAIT_S)  # lost, or closed
                    continue
                number = picture.number
                self._watch(picture)
        except Exception:  # what was seen is soon too old to be used
            _log.exception("%s failed", self._thread.name)

    @abstractmethod
    def _watch(self, picture: WebcamPicture) -> None: ...
