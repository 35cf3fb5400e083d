"""The benchmark's report as a picture: stages, other networks, cost over the stream. Drawn with OpenCV."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from presenter.errors import PresenterError

_WIDTH, _ROW, _LEFT, _RIGHT = 1100, 34, 330, 130
_INK, _FAINT, _BAR, _OTHER = (40, 40, 40), (150, 150, 150), (200, 130, 40), (120, 170, 230)  # BGR

Canvas = NDArray[np.uint8]
Bar = tuple[str, float, float, str, tuple[int, int, int]]
"""Label, value, end of the whisker, text behind it, colour."""


def draw_report(report: dict[str, Any], path: Path) -> None:
    """Draw what `run_bench` returned.

    Raises:
        PresenterError: if the file can't be written; its name ends in .png.
    """
    stages = report["stages_ms"].items()
    peers = report["side_by_side_ms"].items()
    panels = [
        _panel(
            f"One frame, ms of one core: p50, whisker p95 ({report['machine']['processor']}, {report['backend']})",
            [(name, times["p50"], times["p95"], f"{times['p50']:.2f}", _BAR) for name, times in stages],
        ),
        _panel(
            "Network of a frame, ms of one core, logarithmic",
            [
                (
                    f"{name}, {row['size']} px",
                    row["p50"],
                    row["p95"],
                    f"{row['p50']:.4g} ms, x{row['times_ours']:.3g}",
                    _BAR if name == "ours" else _OTHER,
                )
                for name, row in peers
            ],
            logarithmic=True,
        ),
        _panel(
            "Core-seconds per second of video, fifth by fifth of the stream",
            [(f"fifth {k + 1}", cost, cost, f"{cost:.3f}", _BAR) for k, cost in enumerate(report["live"]["by_fifth"])],
        ),
    ]
    if path.suffix.lower() != ".png" or not path.parent.is_dir() or not cv2.imwrite(str(path), np.concatenate(panels)):
        raise PresenterError(f"--plot: expected a .png in a folder that can be written, got {path}")


def _panel(title: str, bars: list[Bar], *, logarithmic: bool = False) -> Canvas:
    canvas = np.full((_ROW * (len(bars) + 2), _WIDTH, 3), 255, np.uint8)
    _write(canvas, title, 16, _ROW - 10, _INK)
    largest, smallest = max(bar[2] for bar in bars), min(bar[1] for bar in bars)

    def length(value: float) -> int:
        # A logarithmic axis begins at a third of the smallest value, so that its bar is seen.
        share = math.log(3 * value / smallest) / math.log(3 * largest / smallest) if logarithmic else value / largest
        return round(share * (_WIDTH - _LEFT - _RIGHT - 60))

    for row, (label, value, whisker, text, colour) in enumerate(bars):
        top = _ROW * (row + 1) + 6
        end, middle = _LEFT + length(value), top + _ROW // 2 - 6
        _write(canvas, label, 16, top + 16, _INK)
        cv2.rectangle(canvas, (_LEFT, top), (end, top + _ROW - 12), colour, -1)
        reach = _LEFT + length(whisker)
        cv2.line(canvas, (end, middle), (reach, middle), _FAINT, 2, cv2.LINE_AA)
        _write(canvas, text, reach + 8, top + 16, _INK)
    return canvas


def _write(canvas: Canvas, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.48, colour, 1, cv2.LINE_AA)
