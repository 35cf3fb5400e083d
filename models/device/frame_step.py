"""A frame as one step of fixed shapes, for a batch of streams: points and head poses in, pictures in YUV 4:2:0 out."""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.crop import CROP_SIZE, Window, crop_mask
from models.device.mesh_planes import MeshPlanes, MeshRaster
from models.device.mouth import TAPS, MouthLook, MouthPainter
from models.device.picture import MovedPicture, i420
from models.device.sampling import rounded
from models.folded import rendered_window
from models.generator import Generator
from models.generator_layers import PATCH
from models.head_warp import cell_size
from models.identity import READ_HEIGHT
from models.live_inputs import UNSEEN
from models.mesh import FACE_OVAL, NUM_VERTICES, Floats
from models.raster import MIXED
from models.references import MOST, Mixer
from models.rest_error import LIP_EDGE, LIP_FADE
from models.still import DETAIL

_POINTS = NUM_VERTICES + len(FACE_OVAL)
_CHANGE = 8  # numbers of `HeadWarp.change`
_PARTS = [3 * _POINTS, _CHANGE, MIXED, 3 * MIXED, 1, 1]
LIVE_NUMBERS = sum(_PARTS)
"""What changes with every frame of a stream; see `live_numbers`."""


def live_numbers(points: Floats, change: Floats, mixer: Mixer) -> Floats:
    """The live inputs of a stream `[LIVE_NUMBERS]`.

    Args:
        points: The extended mesh in the crop `[514, 3]`.
        change: `HeadWarp.change`.
        mixer: Of the references.
    """
    order, weights, gap, own = mixer.chosen(points)
    if not order:  # the template frame's own crop, whatever share of it is shown
        order, weights = [0] * MIXED, np.full((MIXED, 3), 1 / MIXED, np.float32)
    return np.concatenate([points.ravel(), change.ravel(), order, weights.ravel(), [gap, own]]).astype(np.float32)


class Live(NamedTuple):
    """`live_numbers` of a batch."""

    points: Tensor
    """`[B, 514, 3]`."""
    change: Tensor
    """`[B, 2, 4]`."""
    order: Tensor
    """Which references are mixed, 0 for the template frame's own `[B, 3]`."""
    weights: Tensor
    """How much of each, by colour `[B, 3, 3]`."""
    gap: Tensor
    """How far the widest mouth is open that they show, pixels `[B]`."""
    own: Tensor
    """How much of the mix is the template frame's own crop `[B]`."""

    @classmethod
    def of(cls, numbers: Tensor) -> Live:
        """From `[B, LIVE_NUMBERS]`."""
        points, change, order, weights, gap, own = numbers.split(_PARTS, 1)
        return cls(
            points.view(-1, _POINTS, 3),
            change.view(-1, 2, 4),
            order.long(),
            weights.view(-1, MIXED, 3),
            gap[:, 0],
            own[:, 0],
        )


class Shown(NamedTuple):
    """What a stream shows, as far as it stays the same from frame to frame; of many with a leading dimension."""

    style: Tensor
    """W of the generator `[S]`."""
    target: Tensor
    """Features of the template frame `[C, 64, 64]`, of the generator's type."""
    reference: Tensor
    """Its crop, bytes `[3, 256, 256]`."""
    base: Tensor
    """What the generator's residual is laid over `[3, 256, 256]`; see `models.rest_error`."""
    source: Tensor
    """The extended mesh in it `[514, 2]`."""
    field: Tensor
    """How its head moves, see `HeadWarp`, `[H / cell + 2, W / cell + 2, 4]`."""
    to_window: Tensor
    """See `window_map`, `[2, 3]`."""
    look: MouthLook

    def tensors(self) -> list[Tensor]:
        """All of it."""
        return [*self[:-1], *self.look]

    def rows(self, numbers: Tensor) -> Shown:
        """Some of many, by their numbers `[B]`."""
        chosen = [tensor.index_select(0, numbers) for tensor in self.tensors()]
        style, target, reference, base, source, field, to_window, *look = chosen
        return Shown(style, target, reference, base, source, field, to_window, MouthLook(*look))


class FrameStep(nn.Module):
    """The step, and the tensors of what each stream shows.

    A CUDA graph holds addresses: so what streams show lies in tensors with a row for each, and a step is told the rows.
    Weights are the base generator's own and its styles come from the rows, so that a batch holds different identities.

    Args:
        generator: In float32; kept as a copy.
        size: `(height, width)` of the frames, multiples of 4.
        rows: Streams to have room for.
        device: Where it runs.
        dtype: Of the generator; all else is float32.
    """

    _mask: Tensor
    _window_mask: Tensor

    def __init__(
        self, generator: Generator, size: tuple[int, int], rows: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.window = rendered_window()
        self.painted_interior = generator.config.painted_interior
        self.dtype = dtype
        height, width = size
        cell = cell_size(height)
        self._is_fine = height > READ_HEIGHT
        channels, patches = generator.config.channels[0], CROP_SIZE // PATCH
        per_piece = [(3, CROP_SIZE)] * 3
        self.shown = Shown(
            torch.zeros(rows, generator.config.style_dim, dtype=dtype, device=device),
            torch.zeros(rows, channels, patches, patches, dtype=dtype, device=device),
            torch.zeros(rows, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8, device=device),
            torch.zeros(rows, 3, CROP_SIZE, CROP_SIZE, device=device),
            torch.zeros(rows, _POINTS, 2, device=device),
            torch.zeros(rows, -(-height // cell) + 2, -(-width // cell) + 2, 4, device=device),
            torch.zeros(rows, 2, 3, device=device),
            MouthLook(
                *(torch.zeros(rows, *shape, device=device) for shape in (*per_piece, (5, 3), (TAPS,), (4,), (3,)))
            ),
        )
        self.references = torch.zeros(rows, MOST, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8, device=device)
        """What each stream can mix besides the template frame's own crop, see `References`."""
        self.sources = torch.zeros(rows, MOST, _POINTS, 2, device=device)
        self.pictures = torch.zeros(rows, 3, DETAIL * height, DETAIL * width, dtype=torch.uint8, device=device)
        self._network = deepcopy(generator).requires_grad_(False).to(device, dtype)
        self._raster, self._mouth, self._moved = MeshRaster(), MouthPainter(), MovedPicture(size)
        mask = torch.from_numpy(crop_mask())
        self.register_buffer("_mask", mask, persistent=False)
        self.register_buffer("_window_mask", self.window.cut(mask).clone(), persistent=False)
        self.to(device)

    def encode_target(self, masked_target: Tensor) -> Tensor:
        """Features of a masked template frame `[1, 3, 256, 256]`, to be computed once."""
        return self._network.encoder.encode_target(masked_target.to(self._mask.device, self.dtype))

    def forward(self, rows: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        """Render a frame of each of some streams.

        Args:
            rows: Their rows `[B]`.
            live: From `live_numbers` `[B, LIVE_NUMBERS]`.

        Returns:
            The frames in YUV 4:2:0 `[B, 3 H / 2, W]` and the rendered layers `[B, h, w, 4]`, see `Layer`; bytes.
        """
        shown = self.shown.rows(rows)
        given = Live.of(live)
        mesh = self._drawn(shown, rows, given)
        planes = self._planes(mesh, shown, given)
        outside = away_from_lips(planes, self.window)
        layer = laid_over(self._layer(planes, shown), mesh.base[:, :3], planes, self.window, outside)
        picture = self.pictures.index_select(0, rows).float()
        detail = self._detail(mesh, outside) if self._is_fine else None
        frame = self._moved(picture, layer, shown.field, given.change, shown.to_window, detail)
        return i420(frame), layer.permute(0, 2, 3, 1).to(torch.uint8)

    def planes(self, shown: Shown, rows: Tensor, live: Live) -> Tensor:
        """The generator's live inputs `[B, 6, 256, 256]` in whole grey values 0..255; see `mixed_planes`."""
        return self._planes(self._drawn(shown, rows, live), shown, live)

    def _drawn(self, shown: Shown, rows: Tensor, live: Live) -> MeshPlanes:
        """The meshes; for fine frames the reference itself is moved, too, as three more channels of the base."""
        reference = shown.reference.float()
        base = torch.cat([shown.base, reference], 1) if self._is_fine else shown.base
        return self._raster(live.points, *self._mixed(shown, rows, live.order), base, live.weights, live.own)

    def _planes(self, mesh: MeshPlanes, shown: Shown, live: Live) -> Tensor:
        points, seen = live.points, self._mouth.seen_share(live.points, live.gap)
        if self.painted_interior:
            warped = self._mouth(mesh.warped, mesh.interior, points, ((1 - seen) / UNSEEN).clamp(max=1), shown.look)
            planes = [warped, mesh.shade, mesh.interior, mesh.interior]
        else:
            share = (255 * seen).floor() / 255
            planes = [mesh.warped, mesh.shade, mesh.interior, mesh.interior * share[:, None, None, None]]
        return torch.cat(planes, 1) * (self._mask > 0)

    def _detail(self, mesh: MeshPlanes, outside: Tensor) -> Tensor:
        """See `detail_of`: shift, bare crop and where it is seen `[B, 6, h, w]`."""
        bare = rounded(mesh.base[:, 3:])
        return torch.cat([self.window.cut(mesh.shift), self.window.cut(bare), 255 * outside], 1)

    def _mixed(self, shown: Shown, rows: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """The meshes in the template frame's own crop and those to mix `[B, 1 + MIXED, 514, 2]`, and the crops."""
        order = nn.functional.pad(order, (1, 0))
        place = (rows[:, None] * MOST + (order - 1).clamp(min=0)).flatten()
        own = (order == 0)[..., None, None]
        sources = self.sources.flatten(0, 1).index_select(0, place).view(*order.shape, _POINTS, 2)
        crops = self.references.flatten(0, 1).index_select(0, place).view(*order.shape, 3, CROP_SIZE, CROP_SIZE)
        sources = torch.where(own, shown.source[:, None], sources)
        return sources, torch.where(own[..., None], shown.reference[:, None], crops).float()

    def _layer(self, planes: Tensor, shown: Shown) -> Tensor:
        live = planes / 255
        maps = self._network.encoder(shown.target, live.to(self.dtype))
        rendered = self._network.synthesis(maps, live, shown.style, self.window)
        colour, opacity = rendered.split([3, 1], 1)
        return rounded(255 * torch.cat([colour, opacity * self._window_mask], 1))


def away_from_lips(planes: Tensor, window: Window) -> Tensor:
    """`models.rest_error.away_from_lips` of planes `[B, 6, 256, 256]`, `[B, 1, h, w]`."""
    edge = F.max_pool2d(window.cut(planes)[:, 4:5], LIP_EDGE, stride=1, padding=LIP_EDGE // 2)
    return 1 - F.avg_pool2d(edge, LIP_FADE, stride=1, padding=LIP_FADE // 2) / 255


def laid_over(layer: Tensor, base: Tensor, planes: Tensor, window: Window, outside: Tensor) -> Tensor:
    """`models.rest_error.laid_over` of layers `[B, 4, h, w]`, base `[B, 3, 256, 256]`, planes `[B, 6, 256, 256]`."""
    base, live = window.cut(base), window.cut(planes)
    return torch.cat([rounded(layer[:, :3] + outside * (base - live[:, :3])), layer[:, 3:]], 1)
