"""The studio's list of mouth shapes: reproducible, bounded, and rich in closures from its start."""

from presenter.studio.shapes import MAX_JAW, REST, VISEMES, speech_poses


def opening(pose: dict[str, float]) -> float:
    return pose.get("jawOpen", 0.0) - pose.get("mouthClose", 0.0)


def test_a_prefix_of_the_list_is_a_shorter_list() -> None:
    assert speech_poses(30) == speech_poses(60)[:30]


def test_starts_with_the_visemes() -> None:
    poses = speech_poses(len(VISEMES))
    assert poses[0] == REST
    assert poses == [viseme.pose() for viseme in VISEMES.values()]


def test_every_stretch_has_closures_and_openings() -> None:
    poses = speech_poses(120)
    for start in range(0, 120, 40):
        openings = [opening(pose) for pose in poses[start : start + 40]]
        assert sum(value < 0.03 for value in openings) >= 5
        assert sum(value > 0.15 for value in openings) >= 5


def test_weights_stay_in_range() -> None:
    for pose in speech_poses(200):
        assert 0.0 <= pose.get("jawOpen", 0.0) <= MAX_JAW
        assert opening(pose) >= 0.0
        assert all(0.0 <= value <= 1.0 for name, value in pose.items() if not name.startswith("tongue"))
        assert pose["mouthSmile_L"] > 0.0
