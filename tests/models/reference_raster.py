"""A z-buffer by the plain method: every triangle against every pixel, by barycentric coordinates."""

from __future__ import annotations

import torch


def rasterise_torch(
    vertices: torch.Tensor, attributes: torch.Tensor, triangles: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Interpolate vertex attributes with a z-buffer, without data-dependent shapes.

    Args:
        vertices: `[V, 3]` pixels; smaller z is nearer.
        attributes: `[V, K]`.
        triangles: `[N, 3]`.
        size: Side of the picture.

    Returns:
        Interpolated attributes `[size, size, K]` (0 where nothing is hit) and the triangle number
        `[size, size]` (-1 where nothing is hit).
    """
    grid = torch.arange(size, dtype=vertices.dtype, device=vertices.device)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    x, y = grid.view(1, 1, -1), grid.view(1, -1, 1)

    def edge(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        px, py, qx, qy = (v.view(-1, 1, 1) for v in (p[:, 0], p[:, 1], q[:, 0], q[:, 1]))
        return ((qx - px) * (y - py) - (qy - py) * (x - px)) / area.view(-1, 1, 1)

    weights = torch.stack([edge(b, c), edge(c, a), edge(a, b)])  # [3, N, S, S]
    inside = (weights >= 0).all(0)
    depth = (weights * torch.stack([a[:, 2], b[:, 2], c[:, 2]])[..., None, None]).sum(0)
    depth = torch.where(inside, depth, torch.full_like(depth, torch.inf))
    nearest = depth.argmin(0)
    hit = inside.any(0)
    chosen = weights.gather(1, nearest.expand(3, 1, -1, -1)).squeeze(1)  # [3, S, S]
    corners = attributes[triangles[nearest]]  # [S, S, 3, K]
    values = (corners * chosen.permute(1, 2, 0)[..., None]).sum(2)
    return values * hit[..., None], torch.where(hit, nearest, torch.full_like(nearest, -1))
