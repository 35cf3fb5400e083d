"""The recipe's step that lets the jaw fall as the lips open: see `models.training.jaw`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from models.syncformer import StyleSyncFormer
from models.training.jaw import fit_jaw
from models.training.motion_data import held_out_kind, load_motion
from models.weights import syncformer_path
from presenter.errors import MediaError
from presenter.recipe.emitted import emitted_displacements


@dataclass(frozen=True, kw_only=True)
class JawFit:
    """Settings of the step.

    Attributes:
        speech: Folder of recordings, of several voices.
        tracks: Folder of tracked clips, from `presenter train tracks`.
        corpora: Those in which heads are still.
        checkpoint: Of the motion network; the jaw is written into it.
    """

    speech: Path
    tracks: Path = Path("cache/tracks")
    corpora: tuple[str, ...] = ("grid_s1", "av_words_brang")
    checkpoint: Path = syncformer_path()


def add_jaw(settings: JawFit) -> int:
    """Fit the jaw and write it; returns how many clips it is fitted to.

    Raises:
        MediaError: If there is no clip for training, or no recording.
    """
    clips = [
        clip
        for name, clip in load_motion(settings.tracks).items()
        if name.startswith(tuple(f"{corpus}/" for corpus in settings.corpora)) and held_out_kind(name) is None
    ]
    if not clips:
        raise MediaError(f"expected tracked clips of {', '.join(settings.corpora)} in {settings.tracks}, found none")
    network = StyleSyncFormer.load(settings.checkpoint)
    network.jaw.zero_()
    network.jaw.copy_(torch.from_numpy(fit_jaw(clips, emitted_displacements(network, settings.speech))))
    network.save(settings.checkpoint)
    return len(clips)
