"""Sound and picture in a real browser, measured twice: by what it reports, and by a beep that is seen and heard."""

from __future__ import annotations

import asyncio
import json

import pytest

from presenter.bench.browser import chromium, measure_browser


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium found (apt-get install chromium)")
def test_a_flash_is_shown_when_its_beep_is_heard() -> None:
    found = asyncio.run(measure_browser(12))
    print(json.dumps(found))
    assert found["beeps"] >= 8
    by_beep, by_statistics = found["skew_ms"]["by_beep"]["p50"], found["skew_ms"]["by_statistics"]["p50"]
    # Wide enough for a loaded machine; `presenter bench voice` measures the figure. Sound must never lead by a frame.
    assert -40 < by_beep < 100
    assert abs(by_beep - by_statistics) < 60, "the two agree, so neither is a mistake of its method"
