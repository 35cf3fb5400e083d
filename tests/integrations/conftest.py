"""A real talking head that renders nothing, so that tests are fast, and numbers its pictures to identify them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.compositor import FrameCompositor
from models.crop import Window
from models.detail import Mouth
from presenter.config import load_config
from presenter.runtime.talking_head import TalkingHead
from stream.media import VideoFrame

IDLE, SPEECH = 50, 200


class NumberedHead(TalkingHead):
    """Pictures of 48 x 64: `[0, 0]` holds their number, the rest is 200 in speech and 50 in idle."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.size = (48, 64)
        self.rendered = 0
        self.closed = 0

    async def __anext__(self):
        pair = await super().__anext__()
        rgb = np.full((*self.size, 3), SPEECH if pair.speech else IDLE, np.uint8)
        rgb[0, 0] = self.rendered % 256
        self.rendered += 1
        return replace(pair, frame=VideoFrame(rgb, pair.frame.pts))

    async def aclose(self):
        self.closed += 1
        await super().aclose()


@pytest.fixture
def head_class(monkeypatch):
    window = Window.around_mask(margin=8, unit=8)
    blank = np.zeros((window.bottom - window.top, window.right - window.left, 4), np.uint8)
    monkeypatch.setattr(FrameCompositor, "mouth", lambda compositor, displacement, number=0: Mouth(blank))
    return NumberedHead


@pytest.fixture
def config(tmp_path):
    return replace(load_config("tiny"), presenters=str(tmp_path))


@pytest.fixture
def speech():
    """A function of seconds, rate and seed: int16 `[N]` of noise that is nowhere quiet, so that each sample shows."""

    def noise(seconds, rate, seed=0):
        level = np.random.default_rng(seed).uniform(0.1, 0.5, round(seconds * rate))
        return (level * 2**15).astype(np.int16)

    return noise
