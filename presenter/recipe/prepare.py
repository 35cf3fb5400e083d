"""Preparation of training data: audio-visual clips in, tracked meshes and sound out.

Each clip becomes one `.npz`; a second run continues where the first one stopped. Clips that can't be used are
reported and skipped. The fields:

- `mesh` `[T, 478, 3]`: canonical meshes at 25 fps; `neutral` `[478, 3]`: the speaker's closed-mouth rest mesh;
- `scale` `[T]`, `rotation` `[T, 3, 3]`, `translation` `[T, 3]`: the poses, in pixels;
- `audio` `[T * 640]`: int16 at 16 kHz, empty where the clip is silent;
- `speaker`: who speaks; `video`: path of the source clip.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.mesh import Floats, Pose, canonicalise, closed_mouth_neutral
from models.tracker import FaceTracker
from models.training.splits import OPEN_VALIDATION
from presenter.errors import MediaError
from stream.errors import StreamError
from stream.files.reader import iter_video, read_audio
from stream.media import CHUNK_SAMPLES, FPS, SAMPLE_RATE

_UNUSABLE = frozenset({"funcine_005_1"})  # tracked as shut throughout
_MAX_MISSED = 0.05  # share of frames without a face that interpolation may bridge


@dataclass(frozen=True)
class Clip:
    """One source clip of a corpus; `cropped` clips were cut around one face, so a second one is an onlooker."""

    path: Path
    corpus: str
    speaker: str
    has_audio: bool
    cropped: bool = False

    @property
    def name(self) -> str:
        """File name without suffix, unique within the corpus."""
        return self.path.stem


def _speaker_of_styletalk(path: Path) -> str:
    return "andrew" if path.stem.startswith("andrew") else path.stem.split("_")[0]


def _speaker_of_style_clip(path: Path) -> str:
    return f"style-{path.stem}"


# corpus folder -> (speaker from path, has audio)
_CORPORA: dict[str, tuple[Callable[[Path], str], bool]] = {
    "grid_s1": (lambda path: "grid_s1", True),
    "styletalk": (_speaker_of_styletalk, True),
    "vidtimit_fadg0": (lambda path: "fadg0", True),
    "mcgurk": (lambda path: "mcgurk", True),
    "av_words_brang": (lambda path: "brang", True),
    "style_clips": (_speaker_of_style_clip, False),
    "lipreading_silent": (lambda path: path.stem.split(".")[-1].rstrip("0123456789"), False),
}


def find_clips(data: Path) -> list[Clip]:
    """List the video clips of the known corpora under `data`."""
    clips = []
    for corpus, (speaker_of, has_audio) in _CORPORA.items():
        for path in sorted((data / corpus).glob("*.mp4")):
            clips.append(Clip(path, corpus, speaker_of(path), has_audio))
    return clips + _open_clips(data / "av_open")


def _open_clips(folder: Path) -> list[Clip]:
    """Clips of `av_open`; those that may only be validated on become a corpus of their own."""
    listing = folder / "clips.json"
    if not listing.exists():
        return []
    corpora = {"train": "av_open", "validate": OPEN_VALIDATION}
    return [
        Clip(folder / entry["file"], corpora[entry["use"]], entry["speaker"], True, cropped=True)
        for entry in json.loads(listing.read_text())
        if Path(entry["file"]).stem not in _UNUSABLE
    ]


def track_clip(clip: Clip, out: Path) -> str | None:
    """Track one clip and write its shard.

    Returns:
        None when the shard is there, else why the clip was dropped.
    """
    if out.exists():
        return None
    try:
        landmarks = _track_video(clip.path, max_faces=1 if clip.cropped else 2)
        audio = _clip_audio(clip, len(landmarks))
    except (MediaError, StreamError) as error:
        return str(error)
    meshes, poses = zip(*(canonicalise(frame) for frame in landmarks), strict=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    _save(
        out,
        mesh=np.stack(meshes),
        scale=np.array([pose.scale for pose in poses], np.float32),
        rotation=np.stack([pose.rotation for pose in poses]),
        translation=np.stack([pose.translation for pose in poses]),
        neutral=np.zeros((0, 3), np.float32),
        audio=audio,
        speaker=clip.speaker,
        video=str(clip.path),
    )
    return None


def _save(path: Path, **fields: Any) -> None:
    """Write a shard; it appears whole or not at all."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **fields)
    partial.replace(path)


def _track_video(path: Path, max_faces: int) -> Floats:
    """Landmarks `[T, 478, 3]` at 25 fps; short gaps are bridged."""
    frames: list[Floats | None] = []
    with FaceTracker(video=True, max_faces=max_faces) as tracker:
        for rgb in iter_video(path, fps=FPS):
            faces = tracker.track(rgb)
            if len(faces) > 1:
                raise MediaError(f"expected one face, found {len(faces)} in frame {len(frames)}")
            frames.append(faces[0] if faces else None)
    seen = [i for i, frame in enumerate(frames) if frame is not None]
    if len(frames) < FPS // 2:
        raise MediaError(f"expected at least half a second of video, found {len(frames)} frames")
    if len(seen) < (1 - _MAX_MISSED) * len(frames):
        raise MediaError(f"found a face in only {len(seen)} of {len(frames)} frames")
    known = np.stack([frame for frame in frames if frame is not None])
    nearest = np.abs(np.arange(len(frames))[:, None] - np.array(seen)[None]).argmin(1)
    return known[nearest]


def _clip_audio(clip: Clip, num_frames: int) -> NDArray[np.int16]:
    """The clip's sound as int16 at 16 kHz, exactly 640 samples per frame."""
    if not clip.has_audio:
        return np.zeros(0, np.int16)
    pcm = np.concatenate([chunk.pcm for chunk in read_audio(clip.path, from_first_frame=True).chunks()])
    wanted = num_frames * CHUNK_SAMPLES
    if abs(len(pcm) - wanted) > 0.25 * SAMPLE_RATE:
        raise MediaError(
            f"expected sound as long as the picture ({num_frames / FPS:.2f} s), found {len(pcm) / SAMPLE_RATE:.2f} s"
        )
    padded = np.zeros(wanted, np.float32)
    padded[: min(len(pcm), wanted)] = pcm[:wanted]
    return (np.clip(padded, -1, 1) * 32767).astype(np.int16)


def _write_neutrals(shards: list[Path]) -> None:
    """Give every shard the rest mesh of its speaker, over all of that speaker's clips."""
    by_speaker: dict[str, list[Path]] = {}
    for shard in shards:
        by_speaker.setdefault(str(np.load(shard)["speaker"]), []).append(shard)
    for paths in by_speaker.values():
        meshes = np.concatenate([np.load(path)["mesh"] for path in paths])
        neutral = closed_mouth_neutral(meshes)
        for path in paths:
            fields = dict(np.load(path))
            fields["neutral"] = neutral
            _save(path, **fields)


def prepare_tracks(data: Path, out: Path, workers: int = 2) -> dict[str, str]:
    """Track every clip of the known corpora.

    Args:
        data: Folder that holds the corpora.
        out: Folder for the shards, `<out>/<corpus>/<clip>.npz`.
        workers: Processes to use.

    Returns:
        Dropped clips and why; also written to `<out>/dropped.json`.
    """
    clips = find_clips(data)
    if not clips:
        raise MediaError(f"expected corpora under {data}, found no clip")
    dropped: dict[str, str] = {}
    with ProcessPoolExecutor(workers) as pool:
        jobs = {pool.submit(track_clip, clip, out / clip.corpus / f"{clip.name}.npz"): clip for clip in clips}
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="tracking", unit="clip"):
            reason = job.result()
            if reason is not None:
                dropped[f"{jobs[job].corpus}/{jobs[job].name}"] = reason
    shards = sorted(out.glob("*/*.npz"))
    _write_neutrals(shards)
    (out / "dropped.json").write_text(json.dumps(dropped, indent=1))
    return dropped


def iter_shards(tracks: Path) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield `(corpus/clip, fields)` of every shard."""
    for shard in sorted(tracks.glob("*/*.npz")):
        yield f"{shard.parent.name}/{shard.stem}", dict(np.load(shard))


def poses_of(fields: dict[str, NDArray[Any]]) -> list[Pose]:
    """The poses of a shard, one per frame."""
    parts = zip(fields["scale"], fields["rotation"], fields["translation"], strict=True)
    return [Pose(float(scale), rotation, translation) for scale, rotation, translation in parts]
