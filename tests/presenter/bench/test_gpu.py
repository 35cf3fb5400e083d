"""The figures of a GPU, as far as they can be taken on a CPU."""

import torch

from models.device.slots import DeviceFrames
from presenter.bench.gpu import frame_times, h264_times
from presenter.config import load_config
from presenter.runtime.engine import FRAME_SIZE, Engine
from presenter.runtime.identities import load_identity, shipped_dir


def test_frames_are_timed_by_the_size_of_their_batch():
    generator = Engine.load(load_config("tiny")).generator
    identity = load_identity(shipped_dir() / "default").identity.shrunk(512)
    times = frame_times(DeviceFrames(generator, FRAME_SIZE, 2, torch.device("cpu")), identity, rounds=2)
    assert list(times) == ["1", "2"]
    for each in times.values():
        assert set(each) == {"graph", "eager"}
        assert all(0 < part["p50"] <= part["p99"] for part in each.values())


def test_h264_says_who_encodes():
    times = h264_times(load_identity(shipped_dir() / "default").identity.shrunk(512), rounds=2)
    assert times["encoder"] in ("libx264", "h264_nvenc")
    assert 0 < times["p50"] <= times["p99"]
