"""Which clips the recipe finds, and what each may be used for."""

from __future__ import annotations

import json
from pathlib import Path

from models.training.motion_data import held_out_kind
from presenter.recipe.prepare import find_clips


def test_validation_speakers_are_a_corpus_of_their_own_that_is_never_trained_on(tmp_path: Path) -> None:
    (tmp_path / "av_open").mkdir()
    entries = [
        {"file": "a_001_1.mp4", "use": "train", "speaker": "a"},
        {"file": "b_001_1.mp4", "use": "validate", "speaker": "b"},
        {"file": "funcine_005_1.mp4", "use": "train", "speaker": "c"},  # known to be unusable
    ]
    (tmp_path / "av_open" / "clips.json").write_text(json.dumps(entries))
    kinds = {clip.speaker: held_out_kind(f"{clip.corpus}/{clip.name}") for clip in find_clips(tmp_path)}
    assert kinds == {"a": None, "b": "open"}
