"""The frame of a meeting: the presenter's position, the background, and that no edge shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.framing.canvas import FRAMINGS, Canvas, CanvasError
from stream.media import VideoFrame

SKIN = (200, 150, 120)


def presenter(background: tuple[int, int, int] = (60, 80, 100), *, cut: bool = True, top: int = 20) -> VideoFrame:
    """A head on shoulders `[256, 256]`, which reach the lower corners; its background is a gradient."""
    person = np.zeros((256, 256), np.uint8)
    cv2.ellipse(person, (128, top + 80), (60, 80), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.ellipse(person, (128, 256), (132, 40), 0, 0, 360, 255, -1, cv2.LINE_AA)
    shade = np.linspace(0, 40, 256)[None, :, None] + np.array(background)
    alpha = person[..., None] / 255
    rgb = np.rint(np.broadcast_to(shade, (256, 256, 3)) * (1 - alpha) + np.array(SKIN) * alpha).astype(np.uint8)
    cutout = np.dstack([np.full((256, 256, 3), SKIN, np.uint8), person])
    return VideoFrame(rgb, 0, cutout if cut else None)


def is_skin(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture.astype(int) - SKIN).max(axis=2) < 3


@pytest.mark.parametrize(
    ("size", "shape"), [("720p", (720, 1280, 3)), ("1080p", (1080, 1920, 3)), ((640, 360), (360, 640, 3))]
)
@pytest.mark.parametrize("background", ["own", "#102030"])
def test_the_picture_has_the_canvas_size_and_the_presenter_stands_in_the_middle(
    size: str | tuple[int, int], shape: tuple[int, ...], background: str
) -> None:
    canvas = Canvas(size, background)
    picture = canvas.compose(presenter())
    assert picture.shape == shape
    assert picture.dtype == np.uint8
    assert picture.flags["C_CONTIGUOUS"]
    rows, columns = np.nonzero(is_skin(picture))
    assert columns.mean() == pytest.approx(shape[1] / 2, abs=2)
    assert rows.max() == shape[0] - 1, "stands on the lower edge"
    assert 0.08 < rows.min() / shape[0] < 0.2, "head room"
    assert canvas.needs_cutout == (background != "own")


def test_place_and_scale_move_the_presenter() -> None:
    columns = {}
    for place in ("left", "centre", "right"):
        picture = Canvas((640, 360), "navy", place, scale=0.8).compose(presenter())
        rows, at = np.nonzero(is_skin(picture))
        columns[place] = at.mean()
        assert rows.min() > 0.2 * 360
    assert columns["left"] < 200 < columns["centre"] < 440 < columns["right"]


def test_a_colour_is_exact_and_its_edge_is_a_mixture_of_the_two() -> None:
    for background in ((255, 255, 255), (0, 0, 0), (0, 255, 0)):
        picture = Canvas("720p", "#{:02x}{:02x}{:02x}".format(*background)).compose(presenter()).astype(int)
        assert (picture[5, 5] == background).all()
        low, high = np.minimum(background, SKIN), np.maximum(background, SKIN)
        assert (picture >= low - 8).all(), "no dark fringe"
        assert (picture <= high + 2).all(), "no bright fringe"


def test_what_is_under_transparent_pixels_does_not_show() -> None:
    frame = presenter()
    assert frame.cutout is not None
    garish = frame.cutout.copy()
    garish[garish[..., 3] == 0, :3] = (255, 0, 255)
    canvas = Canvas("720p", "teal")
    expected = canvas.compose(frame)
    assert np.abs(canvas.compose(VideoFrame(frame.rgb, 0, garish)).astype(int) - expected).max() <= 1


def test_on_its_own_background_no_edge_of_the_square_shows() -> None:
    picture = Canvas("720p").compose(presenter(cut=False)).astype(np.float32)
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)[..., 0]
    background = ~cv2.dilate(is_skin(picture).astype(np.uint8), np.ones((41, 41))).astype(bool)
    background[600:] = False
    across, down = np.abs(np.diff(smooth, axis=1))[:, :], np.abs(np.diff(smooth, axis=0))
    assert across[background[:, 1:]].max() < 0.6, "a gradient of 40 over the picture goes on as one"
    assert down[background[1:]].max() < 0.6


def test_a_head_that_the_picture_cuts_off_stays_at_the_upper_edge() -> None:
    for background in ("own", "white"):
        picture = Canvas((640, 360), background, scale=0.7).compose(presenter(top=-30))
        assert is_skin(picture)[0].any()
        assert not is_skin(picture)[:100, :100].any()


def test_another_presenter_brings_another_background() -> None:
    canvas = Canvas((640, 360))
    canvas.compose(presenter((60, 80, 100), cut=False))
    again = canvas.compose(presenter((180, 20, 20), cut=False))
    assert (again == Canvas((640, 360)).compose(presenter((180, 20, 20), cut=False))).all()
    assert again[50, 20, 0] > 150


def test_without_a_cutout_the_presenter_keeps_their_background() -> None:
    plain = presenter(cut=False)
    assert (Canvas((640, 360), "lime").compose(plain) == Canvas((640, 360)).compose(plain)).all()


def test_an_image_covers_the_canvas_uncut_in_the_middle(tmp_path: Path) -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, :200], image[:, 200:] = (0, 0, 255), (255, 0, 0)  # BGR: red, then blue
    image[:40] = image[-40:] = 255  # cropped
    cv2.imwrite(str(tmp_path / "room.png"), image)
    canvas = Canvas((640, 360), tmp_path / "room.png")
    card = canvas.card()
    assert (card[:, :300] == (255, 0, 0)).all()
    assert (card[:, 340:] == (0, 0, 255)).all()
    assert (canvas.compose(presenter())[10, 10] == (255, 0, 0)).all()


def test_what_cant_be_used_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("broken.png", "empty.png"):
        with pytest.raises(CanvasError, match="expected an image"):
            Canvas(background=tmp_path / name)
    for background in ("reddish", "room.png"):
        with pytest.raises(CanvasError, match=r"expected 'own', 'blur', #rrggbb, a colour \(.*teal.*\) or an image"):
            Canvas(background=background)
    for background in ("#12345", "#12345g", "#1234567"):
        with pytest.raises(CanvasError, match="#rrggbb"):
            Canvas(background=background)
    with pytest.raises(CanvasError, match="720p, 1080p, portrait"):
        Canvas("4k")
    with pytest.raises(CanvasError, match="even"):
        Canvas((641, 360))
    with pytest.raises(CanvasError, match="left, centre, right"):
        Canvas(place="middle")
    with pytest.raises(CanvasError, match="scale"):
        Canvas(scale=0)
    for size in ("0x0", "63x64", "5000x64", "640x"):
        with pytest.raises(CanvasError, match="size: expected"):
            Canvas(size)


def test_a_blurred_background_has_its_own_colours_and_nothing_of_the_person() -> None:
    frame = presenter((60, 80, 100))
    assert frame.cutout is not None
    moved = VideoFrame(frame.rgb, 0, np.zeros_like(frame.cutout))
    canvas = Canvas((256, 256), "blur")
    canvas.compose(frame)
    behind = canvas.compose(VideoFrame(frame.rgb, 0, moved.cutout)).astype(int)
    wanted = np.linspace(0, 40, 256)[None, :, None] + (60, 80, 100)
    assert np.abs(behind - wanted).max() < 20
    assert canvas.needs_cutout


def test_a_canvas_of_the_frames_own_size_shows_it_where_it_was() -> None:
    frame = presenter()
    picture = Canvas((256, 256), "black").compose(frame)
    assert (is_skin(picture) == is_skin(np.where(frame.cutout[..., 3:] == 255, frame.rgb, 0))).mean() > 0.999


def test_framings_show_more_or_less_of_the_presenter() -> None:
    heads = {}
    for name, scale in FRAMINGS.items():
        rows, _ = np.nonzero(is_skin(Canvas("720p", "black", scale=scale).compose(presenter())))
        heads[name] = rows.min()
    assert 0 < heads["close"] < heads["medium"] < heads["wide"], "the top of the head stays in the picture"


def test_an_upright_picture_shows_the_whole_face() -> None:
    _, columns = np.nonzero(is_skin(Canvas("portrait", "black").compose(presenter())[:1400]))
    assert columns.min() > 40
    assert columns.max() < 1040


def test_a_reframed_frame_carries_its_cutout_where_that_is_asked_for() -> None:
    canvas, frame = Canvas("720p", "teal"), presenter()
    assert canvas.reframe(frame).cutout is None
    whole = canvas.reframe(frame, cutout=True)
    assert whole.cutout is not None
    assert whole.cutout.shape == (720, 1280, 4)
    shown = is_skin(whole.rgb)
    assert (whole.cutout[shown, 3] > 250).mean() > 0.99
    assert whole.cutout[0, 0, 3] == 0
    with pytest.raises(CanvasError, match="cutout"):
        canvas.compose_cutout(presenter(cut=False))
