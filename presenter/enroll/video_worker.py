"""Decodes one untrusted video: a separate program, which may be killed at any time.

It is run by its path with two arguments, the video and a JSON list of the frames that are wanted, at 25 a second; null
stands for all. To standard output it writes records: a line of JSON, and after that of a frame its raw pixels.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

MEMORY_BYTES = 4 << 30  # of address space, most of which libraries reserve and never use
CPU_S = 600
MAX_PIXELS = 4096 * 4096
MAX_FRAMES = 1500
"""One minute; what follows is not decoded."""
MAX_SIDE = 1920
"""Larger pictures are halved until they are smaller: faces in them have pixels enough."""


def main() -> int:
    """Decode the video that the arguments name."""
    _limit()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # isolated as it runs, it finds nothing by itself
    from stream.errors import StreamError

    try:
        _send(Path(sys.argv[1]), json.loads(sys.argv[2]))
        _record({"end": True})
    except StreamError as error:
        _record({"error": str(error)})
    except MemoryError:
        _record({"error": "needs too much memory to be decoded; save it anew as MP4 (H.264)"})
    return 0


def _limit() -> None:
    """Bound what the process may use, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        for what, most in (
            (resource.RLIMIT_AS, MEMORY_BYTES),
            (resource.RLIMIT_CPU, CPU_S),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(what, (most, most))


def _send(path: Path, wanted: list[int] | None) -> None:
    import cv2

    from stream.files.container import MediaInput
    from stream.files.reader import iter_video

    cv2.setNumThreads(1)
    with MediaInput(path) as media:
        size = media.need_video().codec_context
        if size.width * size.height > MAX_PIXELS:
            _record({"error": f"expected at most 4096 x 4096 pixels, found {size.width} x {size.height}"})
            return
    last = MAX_FRAMES if wanted is None else max(wanted, default=-1) + 1
    chosen = None if wanted is None else set(wanted)
    for index, rgb in enumerate(iter_video(path)):
        if index >= last:
            if wanted is None:
                _record({"longer": True})
            return
        if chosen is None or index in chosen:
            while max(rgb.shape[:2]) > MAX_SIDE:
                rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
            _record({"frame": index, "height": rgb.shape[0], "width": rgb.shape[1]}, rgb.tobytes())


def _record(header: dict[str, Any], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + pixels)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    raise SystemExit(main())
