"""The evaluations of speaking styles and of the face swap, on clips of the shipped presenter."""

from __future__ import annotations

from pathlib import Path

import pytest

from presenter import api
from presenter.config import load_config
from presenter.errors import MediaError
from presenter.recipe.evaluate_styles import STATISTICS, evaluate_styles
from presenter.recipe.evaluate_swap import evaluate_swaps
from presenter.recipe.face_identity import is_available


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two "speakers": one presenter who says different things in different styles."""
    folder = tmp_path_factory.mktemp("clips")
    texts = (
        "Papa and mama bought a big blue boat today, at last, oh my.",
        "We saw how far the wide river flows, she said, and then we all went home.",  # 3 s, however fast it is said
    )
    paths = [folder / f"{k}.mp4" for k in range(2)]
    for path, text in zip(paths, texts, strict=True):
        api.say(text, path, config="tiny", progress=lambda share, what: None)
    return paths


def test_styles_are_judged_in_pairs(clips: list[Path]) -> None:
    report = evaluate_styles(load_config("tiny"), clips, pairs=4)
    assert report["speakers"] == 2
    assert list(report["moved to the owner's"]) == list(STATISTICS)
    assert all(0 <= share <= 1 for share in report["moved to the owner's"].values())
    assert report["neutral"]["aperture r"] > 0.5, "the presenter's own motion is the model's"
    with pytest.raises(MediaError, match="expected at least two clips"):
        evaluate_styles(load_config("tiny"), clips[:1])


def test_a_swap_is_judged_with_dlib_and_photos(clips: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="expected photos" if is_available() else r"\[train\]"):
        evaluate_swaps(load_config("tiny"), clips, tmp_path)
