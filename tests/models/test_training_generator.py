"""The generator's training loop: pairs, one learning loop, resume."""

import json

import numpy as np
import pytest
from torch.utils.data import DataLoader

from models.crop import CROP_SIZE, crop_mask
from models.generator import Generator
from models.live_inputs import match_colour, mouth_gap
from models.mesh import FACE_OVAL, INNER_LIP_PAIRS, NUM_VERTICES, topology
from models.raster import ring_points
from models.training.crop_dataset import CropPairs, Crops, Sample, mirror, mirrored_vertices
from models.training.generator import GeneratorTrainer, GeneratorTraining, train_generator
from models.training.splits import is_held_out


def drawn_crop(opening: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A crop whose mouth is a dark bar, as open as its mesh says."""
    mesh = topology().reference.copy()
    mesh[[lower for _, lower in INNER_LIP_PAIRS], 1] += opening
    points = (np.concatenate([mesh, ring_points(topology().reference)]) * 111 + [128, -16, 0]).astype(np.float32)
    image = np.full((CROP_SIZE, CROP_SIZE, 3), (190, 150, 130), np.uint8)
    top, bottom = int(points[13, 1]), int(points[14, 1]) + 1
    image[top:bottom, 90:166] = (40, 20, 20)
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), points


@pytest.fixture
def crops(tmp_path):
    pairs = [drawn_crop(opening, seed) for seed, opening in enumerate((0.0, 0.05, 0.1, 0.15, 0.2, 0.25))]
    np.save(tmp_path / "images.npy", np.stack([image for image, _ in pairs]))
    np.save(tmp_path / "points.npy", np.stack([points for _, points in pairs]))
    about = [{"corpus": "drawn", "clip": "a", "speaker": "a", "held_out": False} for _ in pairs]
    (tmp_path / "about.json").write_text(json.dumps(about))
    return tmp_path


def settings(crops) -> GeneratorTraining:
    return GeneratorTraining(
        crops=crops, out=crops / "g.safetensors", batch_size=1, workers=0, sharpen_from=10**6, learning_rate=4e-3
    )


def test_training_learns_one_pair(crops):
    trainer = GeneratorTrainer(settings(crops))
    pair = CropPairs(Crops.load(crops), [0, 5], 8, augment=False, seed=1)
    (batch,) = DataLoader([max((pair[k] for k in range(8)), key=lambda s: float(s.live[4].sum()))], 1)
    losses = [trainer.train_step(Sample(*batch))["l1"] for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


def test_training_resumes_where_it_stopped(crops):
    pairs = CropPairs(Crops.load(crops), list(range(6)), 2, augment=True)
    batches = [Sample(*batch) for batch in DataLoader(pairs, 1)]
    trainer = GeneratorTrainer(settings(crops))
    trainer.train_step(batches[0])
    trainer.save()
    again = GeneratorTrainer(settings(crops))
    assert again.step == 1
    assert again.train_step(batches[1]) == pytest.approx(trainer.train_step(batches[1]), rel=1e-3)
    assert Generator.load(crops / "g.safetensors").config == trainer.generator.config


def test_no_crops_of_a_corpus_is_an_error(crops):
    with pytest.raises(ValueError, match="found none"):
        train_generator(GeneratorTraining(crops=crops, out=crops / "g.safetensors", corpora=("nothing",)))


def test_inputs_are_zero_outside_the_mask_and_mouths_are_seen(crops):
    pairs = CropPairs(Crops.load(crops), list(range(6)), 20, augment=True, seed=0)
    for k in range(5):
        sample = pairs[k]
        assert not sample.live[:, crop_mask() == 0].any()
        assert sample.target.shape == (3, CROP_SIZE, CROP_SIZE)
    again = CropPairs(Crops.load(crops), list(range(6)), 20, augment=True, seed=0)[4]
    assert all((a == b).all() for a, b in zip(again, pairs[4], strict=True))


def test_personal_reference_is_the_most_closed_mouth(crops):
    data = Crops.load(crops)
    closed = min(range(6), key=lambda i: mouth_gap(data.points[i]))
    pairs = CropPairs(data, list(range(6)), 10, augment=True, personal=True)
    expected = match_colour(data.images[closed], data.images[closed])
    for k in range(4):
        difference = np.abs(pairs[k].reference.numpy().transpose(1, 2, 0).astype(int) - expected)
        assert difference.mean() < 3


def test_mirroring_twice_is_nothing():
    image, points = drawn_crop(0.1, 0)
    twice = mirror(*mirror(image, points))
    np.testing.assert_array_equal(twice[0], image)
    np.testing.assert_allclose(twice[1], points, atol=1e-3)


def test_mirrored_vertices_swap_sides():
    swap = mirrored_vertices()
    assert swap[33] == 263
    assert swap[61] == 291
    assert swap[13] == 13
    assert sorted(swap) == list(range(NUM_VERTICES + len(FACE_OVAL)))


def test_held_out_speakers_and_clips():
    assert is_held_out("vidtimit_fadg0", "sa1", "fadg0")
    share = np.mean([is_held_out("grid_s1", f"clip{k}", "grid_s1") for k in range(2000)])
    assert 0.07 < share < 0.13
    assert not is_held_out("styletalk", "andrew_clip_1", "andrew")
