"""Random problems for the compiled core, as flat arrays, and what they are checked by: sums of their own."""

from __future__ import annotations

import numpy as np

from hw4opt.core.interior import MapRows, RowTable

HUGE_WEIGHT, PRICE = 1e6, 10.0


def random_table(random: np.random.Generator, batch: int = 1) -> RowTable:
    """A loss, perhaps differences, perhaps constraints on the same rows, perhaps a general map: with ties, duplicated
    columns, weights of 0 and huge ones, and constraints that hold with equality everywhere."""
    n, r = int(random.integers(2, 40)), int(random.integers(1, 12))
    base = random.normal(size=(n, r))
    if random.random() < 0.3:  # ties
        base[random.integers(n)] = base[0]
    if random.random() < 0.3 and r > 1:  # dependent columns
        base[:, -1] = base[:, 0] * random.choice([1.0, -2.0])
    maps = [MapRows(n, 0, None, None)]
    columns = [_loss(random, batch, n)]
    differences = MapRows(n - 1, 0, None, np.broadcast_to(np.array([-1.0, 1.0]), (n - 1, 2)))
    if random.random() < 0.6:
        weight = 10.0 ** random.uniform(-2, 2)
        maps.append(differences)
        columns.append((0.0, 0.0, -weight, weight))
    if random.random() < 0.5:
        maps.append(differences if random.random() < 0.5 else maps[0])
        columns.append((0.0, 0.0, -np.inf, 0.0) if random.random() < 0.5 else (0.0, 0.0, 0.0, np.inf))
    if random.random() < 0.3:
        count = int(random.integers(1, 6))
        index = random.integers(n, size=(count, 3)).astype(np.int64)
        maps.append(MapRows(count, 0, index, random.normal(size=(count, 3))))
        columns.append((float(random.choice([0.0, 0.3])), 0.5, -1.0, 2.0))
    counts = [one.count for one in maps]
    q, t, low, high = (
        np.concatenate([np.broadcast_to(one[k], (batch, m)) for one, m in zip(columns, counts, strict=True)], axis=1)
        for k in range(4)
    )
    penalty = 10.0 ** random.uniform(-3, 1, size=(batch, 1)) * np.ones((batch, r))
    free = r > 1 and random.random() < 0.3
    if free:
        base[:, -1] = 1.0
        penalty[:, -1] = 0.0
    size = np.maximum(np.abs(t[:, :n]).max(axis=1), 1e-3)
    return RowTable(
        base=base, maps=maps, penalty=penalty, q=q, t=t, low=low, high=high,
        length=np.concatenate([np.full(m, float(np.sqrt(r)) if k == 0 else 1.0) for k, m in enumerate(counts)]),
        w_scale=np.tile(size[:, None], (1, r)),
        proximal=np.where(penalty > 0, 0.0, 1e-6 * n),
        z_scale=size, u_scale=np.ones(batch), loss_length=float(np.sqrt(r)), data_rows=n,
        gap_scale=np.maximum(size * n, 1e-3),
    )  # fmt: skip


def _loss(random: np.random.Generator, batch: int, n: int) -> tuple[np.ndarray, ...]:
    """q, t, low, high of weighted rows."""
    q, low, high = ((0.5, -np.inf, np.inf), (0.5, -1.0, 1.0), (0.0, -0.9, 0.1), (0.0, -1.0, 1.0))[random.integers(4)]
    weight = np.ones((batch, n))
    if random.random() < 0.3:
        weight[:, random.integers(n)] = HUGE_WEIGHT
    if random.random() < 0.3:
        weight[:, random.integers(n)] = 0.0
    there, safe = weight > 0, np.where(weight > 0, weight, 1.0)
    t = random.normal(size=(batch, n)) * 10.0 ** random.uniform(-2, 3)
    return q / safe, t, np.where(there, low * safe, 0.0), np.where(there, high * safe, 0.0)


def rows_of(table: RowTable) -> np.ndarray:
    """A, (M, r)."""
    parts = []
    for one in table.maps:
        if one.index is not None:
            places = one.index
        else:
            places = one.first + np.arange(one.count)[:, None] + np.arange(1 if one.coef is None else one.coef.shape[1])
        coef = np.ones(places.shape) if one.coef is None else one.coef
        parts.append(np.einsum("mc,mcr->mr", coef, table.base[places]))
    return np.concatenate(parts)


def gap_of(table: RowTable, w: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The duality gap (b,) in long doubles: Fenchel slacks and stationarity; a violated constraint is not infinite, but
    at PRICE of its |u|, or of 1."""
    a, wide = rows_of(table).astype(np.longdouble), w.astype(np.longdouble)
    q, t, low, high = (np.asarray(one, dtype=np.longdouble) for one in (table.q, table.t, table.low, table.high))
    u = np.clip(u.astype(np.longdouble), low, high)
    v = wide @ a.T - t
    most = PRICE * np.maximum(np.abs(u), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        steep = np.where(v > 0, np.minimum(high, most), np.where(v < 0, np.maximum(low, -most), 0.0))
        slope = np.clip(np.where(q > 0, v / q, steep), low, high)
    slack = np.where(low < high, v * slope - q * slope * slope / 2 + q * u * u / 2 - v * u, 0.0)
    residual = table.penalty * wide + u @ a
    penalty = np.where(table.penalty > 0, table.penalty, 1.0)
    free_cost = np.abs(residual) * np.maximum(np.abs(wide), table.w_scale)
    cost = np.where(table.penalty > 0, residual**2 / penalty / 2, free_cost)
    return np.asarray(slack.sum(axis=1) + cost.sum(axis=1), dtype=float)
