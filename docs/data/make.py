"""Writes the tables of this folder: a simulated assay, with new doses; a signal in steps; counts of a listener, and a
catalogue; readings of wells; a trial at four sites; and rents in three towns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def write(name: str, **columns: object) -> None:
    """One CSV file with these columns."""
    rows = zip(*columns.values(), strict=True)  # pyright: ignore[reportArgumentType]
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """All of them, with fixed seeds."""
    draw = np.random.default_rng(3)
    dose = np.repeat(np.round(np.linspace(0, 10, 16), 2), 3)
    response = 100 / (1 + np.exp(-(dose - 5))) + 4 * draw.standard_normal(dose.size)
    response[[7, 20, 37]] = (65.0, 2.0, 30.0)  # three wells went wrong
    write("dose.csv", dose=dose, response=np.round(response, 2), plate=np.tile(["A", "B", "C"], 16))

    time = np.arange(160)
    level = np.repeat([2.0, 2.0, 5.0, 3.0, 3.0, 6.5, 6.5, 4.0], 20)
    signal = level + 0.25 * draw.standard_normal(160)
    signal[draw.choice(160, 8, replace=False)] += draw.choice([-6.0, 6.0], 8)
    write("steps.csv", time=time, signal=np.round(signal, 3))

    tempo, mood = draw.standard_normal((2, 300)).round(3)
    hours = draw.uniform(1, 6, 300).round(2)
    plays = draw.poisson(hours * np.exp(0.3 + 0.6 * tempo - 0.4 * mood))
    write("songs.csv", song=[f"song {i}" for i in range(300)], tempo=tempo, mood=mood, hours=hours, plays=plays)

    depth, age = draw.uniform(0, 10, 120).round(2), draw.uniform(0, 5, 120).round(2)
    yields = 3 * np.tanh(depth / 4) - 0.3 * age + 0.3 * draw.standard_normal(120)
    passed = (yields + 0.6 * draw.standard_normal(120) > 1).astype(int)
    write("wells.csv", depth=depth, age=age, output=yields.round(3), passed=passed, repeats=draw.integers(1, 5, 120))

    write("new.csv", dose=np.linspace(0, 10, 21).round(2))
    tempo, mood = draw.standard_normal((2, 100)).round(3)
    write("catalogue.csv", song=[f"song {i}" for i in range(300, 400)], tempo=tempo, mood=mood)

    patient = np.repeat(np.arange(45), 2)
    dose, age = draw.uniform(0, 10, 90).round(2), draw.uniform(20, 80, 45).round(0)[patient]
    site, level = draw.integers(0, 4, 45)[patient], 0.3 * draw.standard_normal(45)[patient]
    response = 3 * np.tanh(dose / 4) + 0.02 * age + 0.3 * site + level + 0.2 * draw.standard_normal(90)
    sites = np.array(["north", "east", "south", "west"])[site]
    write("trial.csv", patient=patient, dose=dose, age=age, site=sites, response=response.round(3))

    size, town = draw.uniform(20, 120, 60).round(0), draw.integers(0, 3, 60)
    rent = 200 + 9 * size + np.array([0, 150, 300])[town] + 40 * draw.standard_normal(60)
    cells = [f"{value:.0f}" if i % 20 else "" for i, value in enumerate(rent)]  # three rents are missing
    write("towns.csv", rent=cells, size=size, city=np.array(["Alton", "Burford", "Corby"])[town])


if __name__ == "__main__":
    main()
