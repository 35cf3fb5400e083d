"""What tests of the application share."""

from __future__ import annotations

import numpy as np
import pytest

from models.painter import Painter


@pytest.fixture
def light_painting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the mouth, for tests that are about time: they must not depend on how fast this machine paints."""
    blank = np.zeros((4, 256, 256), np.float32)
    monkeypatch.setattr(Painter, "crop", lambda painter, displacement: blank)
