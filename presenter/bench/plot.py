"""A report as a bar chart, drawn with OpenCV so that no plotting library is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from presenter.errors import PresenterError

_ROW, _LABEL, _BAR, _MARGIN = 26, 430, 520, 24
_INK, _FAINT, _BLUE = (40, 40, 40), (225, 225, 225), (176, 106, 44)  # BGR


def save_plot(report: dict[str, Any], path: Path) -> None:
    """Write the milliseconds of a report as bars on a logarithmic axis.

    Args:
        report: Of `run_bench`.
        path: A PNG, or another format that OpenCV writes.

    Raises:
        PresenterError: If it can't be written.
    """
    rows = list(_milliseconds(report))
    picture = _chart(rows, f"{report['machine']['processor']}, one thread: ms of one core per frame")
    try:
        written = cv2.imwrite(str(path), picture)
    except cv2.error:
        written = False
    if not written:
        raise PresenterError(f"{path}: expected the name of a PNG in a folder that exists and can be written to")


def _milliseconds(report: dict[str, Any]) -> Iterator[tuple[str, float]]:
    yield "live, all in", 40 * report["live"]["core_seconds_per_second"]
    yield "live in float32, all in", 40 * report["live_float32"]["core_seconds_per_second"]
    for name, times in report["stages_ms"].items():
        yield f"stage: {name}", times["p50"]
    for name, value in report.get("generator_ms", {}).items():
        if name != "threads":
            yield f"generator: {name}", value
    for name, peer in report.get("side_by_side_ms", {}).items():
        yield f"generator: {name}, {peer['size']} px", peer["p50"]


def _chart(rows: list[tuple[str, float]], title: str) -> NDArray[np.uint8]:
    height = 2 * _MARGIN + _ROW * (len(rows) + 2)
    picture = np.full((height, _LABEL + _BAR + 3 * _MARGIN + 60, 3), 255, np.uint8)
    low = np.floor(np.log10(min(value for _, value in rows)))
    high = np.ceil(np.log10(max(value for _, value in rows)))
    _write(picture, title, (_MARGIN, _MARGIN + 6), _INK)

    def place(value: float) -> int:
        return _LABEL + round(_BAR * (np.log10(value) - low) / (high - low))

    bottom = _MARGIN + _ROW * (len(rows) + 1)
    for power in range(int(low), int(high) + 1):
        x = place(10.0**power)
        cv2.line(picture, (x, _MARGIN + _ROW), (x, bottom), _FAINT, 1)
        _write(picture, f"{10.0**power:g}", (x - 8, bottom + 18), _INK)
    for number, (name, value) in enumerate(rows):
        y = _MARGIN + _ROW * (number + 1)
        cv2.rectangle(picture, (_LABEL, y + 6), (max(place(value), _LABEL + 1), y + _ROW - 5), _BLUE, -1)
        _write(picture, name, (_MARGIN, y + 18), _INK)
        _write(picture, f"{value:.3g}" if value < 1000 else f"{value:.0f}", (place(value) + 6, y + 18), _INK)
    return picture


def _write(picture: NDArray[np.uint8], text: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
