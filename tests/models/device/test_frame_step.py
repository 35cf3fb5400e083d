"""The step in tensor operations against the numpy and OpenCV steps it stands for, on the shipped presenter."""

from __future__ import annotations

import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from models.backends import backend
from models.compositor import FrameCompositor
from models.crop import crop_mask, cut_crop
from models.device.compositor import DeviceCompositor
from models.device.frame_step import FrameStep, Live, live_numbers
from models.device.picture import doubled
from models.device.picture import i420 as device_i420
from models.device.slots import DeviceFrames
from models.generator import Generator
from models.head_motion import AT_REST, EYES_CLOSED, HeadPose, sway
from models.identity import READ_HEIGHT, Identity
from models.mesh import Pose, aperture
from models.metrics import psnr
from models.references import References
from models.still import detailed
from models.template import LivingTemplate, compress
from models.weights import generator_path
from presenter.runtime.identities import load_identity, shipped_dir
from stream.yuv import i420
from tests.models.speech import spoken

CPU = torch.device("cpu")
STORED = load_identity(shipped_dir() / "default")
IDENTITY, FINE = STORED.identity.shrunk(READ_HEIGHT), STORED.identity
POSES = (AT_REST, sway(77), HeadPose(0.1, -0.08, 0.1, 0.15, -0.12))


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator.load(STORED.generator or generator_path())


@pytest.fixture(scope="module")
def mouths() -> list[np.ndarray]:
    """At rest, of speech, and wide open."""
    return [
        np.zeros_like(spoken()[0]),
        *spoken()[::4],
        2.5 * max(spoken(), key=lambda each: aperture(IDENTITY.neutral + each)),
    ]


def compositors(
    generator: Generator, identity: Identity = IDENTITY
) -> tuple[FrameCompositor, DeviceCompositor, DeviceFrames]:
    """The same presenter on either path."""
    frames = DeviceFrames(generator, identity.frame.shape[:2], 1, CPU)
    there = DeviceCompositor(identity, frames.free.pop(), identity.style_code)
    return FrameCompositor(identity, backend(generator, identity.style_code, "float32", CPU)), there, frames


def drawn_there(there: DeviceCompositor, frames: DeviceFrames, displacement: np.ndarray) -> np.ndarray:
    """The live inputs `[256, 256, 6]` by the step."""
    live = there._live(displacement, AT_REST, 0)
    row = torch.tensor([0])
    with torch.inference_mode():
        planes = frames.step.planes(frames.step.shown.rows(row), row, Live.of(torch.from_numpy(live)[None]))
    return planes[0].permute(1, 2, 0).numpy()


def difference(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.abs(got.astype(float) - wanted)


@pytest.mark.parametrize("painted", [True, False])
def test_live_inputs(generator: Generator, mouths: list[np.ndarray], painted: bool) -> None:
    """Rasterised, warped and painted alike: what differs are single pixels at the edges of triangles and lips."""
    generator = copy.copy(generator)
    generator.config = replace(generator.config, painted_interior=painted)
    here, there, frames = compositors(generator)
    for displacement in mouths:
        wanted, got = here.planes(displacement), drawn_there(there, frames, displacement)
        warped, shade = difference(got[..., :3], wanted[..., :3]), difference(got[..., 3], wanted[..., 3])
        opening, share = difference(got[..., 4], wanted[..., 4]), difference(got[..., 5], wanted[..., 5])
        print(f"warped mean {warped.mean():.3f}, > 8: {(warped > 8).mean():.5f}, shade mean {shade.mean():.3f},"
              f" mouth pixels that differ {(opening > 0).sum()} of {(wanted[..., 4] > 0).sum()}")  # fmt: skip
        assert warped.mean() < 0.1
        assert (warped > 8).mean() < 0.003
        assert shade.mean() < 0.15
        assert (opening > 0).sum() <= 8 + 0.03 * (wanted[..., 4] > 0).sum()
        assert share.mean() < 0.15
        assert not got[crop_mask() == 0].any()


@pytest.mark.parametrize("identity", [IDENTITY, FINE], ids=["as fine as the crop", "finer"])
def test_frames(generator: Generator, mouths: list[np.ndarray], identity: Identity) -> None:
    """From displacement and pose to YUV, with eyes open and shut."""
    here, there, _ = compositors(generator, identity)
    for displacement in mouths:
        for pose, eyelids in zip(POSES, (0, EYES_CLOSED, 2), strict=True):
            wanted = i420(here.frame(displacement, pose, eyelids))
            got = there.frame(displacement, pose, eyelids)
            apart = difference(got, wanted)
            print(f"max {apart.max():.0f}, mean {apart.mean():.3f}, {psnr(got, wanted):.1f} dB")
            assert got.shape == wanted.shape
            assert apart.mean() < 0.15
            assert (apart > 8).mean() < 0.001
            assert psnr(got, wanted) > 54


def test_the_layer(generator: Generator, mouths: list[np.ndarray]) -> None:
    here, there, _ = compositors(generator)
    for displacement in mouths:
        wanted, got = here.layer(displacement), there.layer(displacement)
        assert difference(got, wanted).mean() < 0.3
        assert psnr(got[wanted[..., 3] > 0], wanted[wanted[..., 3] > 0]) > 38


def test_at_rest_the_background_is_the_stills_own(generator: Generator, mouths: list[np.ndarray]) -> None:
    _, there, _ = compositors(generator)
    apart = difference(there.frame(mouths[-1], AT_REST, 0), i420(IDENTITY.frame))
    assert apart[:200].max() <= 1
    assert apart[:512].max() > 20, "the mouth is open"


def film(length: int = 4) -> LivingTemplate:
    """The shipped picture as a video that drifts to the right by three pixels a frame."""
    pictures, poses = [], []
    for number in range(length):
        step = np.array([[1, 0, 3 * number], [0, 1, 0]], np.float32)
        moved = cv2.warpAffine(IDENTITY.frame, step, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        pictures.append(compress(moved.astype(np.uint8)))
        offset = np.array([3 * number, 0, 0], np.float32)
        poses.append(Pose(IDENTITY.pose.scale, IDENTITY.pose.rotation, IDENTITY.pose.translation + offset))
    return LivingTemplate(pictures, [], np.stack([IDENTITY.mesh] * length), poses, IDENTITY.neutral)


def test_a_living_template(generator: Generator, mouths: list[np.ndarray]) -> None:
    """Its frames are sent as they are shown; layer and head are moved by one interpolation instead of two."""
    here, there, _ = compositors(generator, replace(IDENTITY, template=film()))
    for number, pose in ((0, AT_REST), (2, AT_REST), (5, AT_REST), (5, sway(77)), (0, sway(10))):
        wanted = i420(here.frame(mouths[-1], pose, 0, number))
        got = there.frame(mouths[-1], pose, 0, number)
        print(f"max {difference(got, wanted).max():.0f}, mean {difference(got, wanted).mean():.3f}")
        assert difference(got, wanted).mean() < 0.5
        assert psnr(got, wanted) > 42


def test_references(generator: Generator, mouths: list[np.ndarray]) -> None:
    """Mixed alike, on a photo and on a video; a mouth that they show is not the stretched closed one."""
    bank = references(mouths)
    for identity in (IDENTITY, replace(IDENTITY, template=film())):
        here, there, frames = compositors(generator, replace(identity, references=bank))
        alone = compositors(generator, identity)[0]
        for displacement in mouths[1:]:
            wanted, got = here.planes(displacement), drawn_there(there, frames, displacement)
            apart = difference(got[..., :3], wanted[..., :3])
            assert apart.mean() < 0.15
            assert (apart > 8).mean() < 0.003
        assert difference(here.planes(mouths[-1])[..., :3], alone.planes(mouths[-1])[..., :3]).mean() > 0.3
        wanted, got = i420(here.frame(mouths[-1], AT_REST, 0, 2)), there.frame(mouths[-1], AT_REST, 0, 2)
        assert psnr(got, wanted) > 42


def references(mouths: list[np.ndarray]) -> References:
    """Of the shipped presenter: as it renders these mouths, in another light."""
    network = Generator.load(STORED.generator or generator_path())
    compositor = FrameCompositor(IDENTITY, backend(network, IDENTITY.style_code, "float32", CPU))
    crops = [cut_crop(compositor.frame(each), IDENTITY.transform) for each in mouths]
    points = np.stack([compositor.points(each) for each in mouths])
    return References((0.9 * np.stack(crops)).astype(np.uint8), points)


def test_half_precision(generator: Generator, mouths: list[np.ndarray]) -> None:
    """The generator in bfloat16 within the step, as on a GPU, against all of it in float32."""
    compositor = compositors(generator)[1]
    frames = compositor._slot.frames
    half = FrameStep(generator, (512, 512), 1, CPU, torch.bfloat16)
    for mine, given in zip(half.shown.tensors(), frames.step.shown.tensors(), strict=True):
        mine.copy_(given)
    for displacement in mouths:
        wanted = compositor.layer(displacement)
        prepared = compositor._prepared
        numbers = live_numbers(prepared.points(displacement), np.zeros((2, 4), np.float32), prepared.mixer)
        live = torch.from_numpy(numbers)
        with torch.inference_mode():
            got = half(torch.tensor([0]), live[None])[1][0].numpy()
        shown = wanted[..., 3] > 0
        assert psnr(got[shown], wanted[shown]) >= 45


def test_parts_that_stand_for_opencvs() -> None:
    picture = torch.from_numpy(IDENTITY.frame.transpose(2, 0, 1)[None].copy()).float()
    assert difference(doubled(picture)[0].permute(1, 2, 0).numpy(), detailed(IDENTITY.frame)).max() <= 1
    assert difference(device_i420(picture)[0].numpy(), i420(IDENTITY.frame)).max() <= 1
