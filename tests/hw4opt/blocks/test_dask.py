"""Fits with sums on a Dask cluster of a scheduler and two workers, against sums in this process."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from hw4opt import RBF, Huber, InputError, Poisson, RefusedError, Ridge, Squared, TotalVariation
from hw4opt.blocks import ArrayRows, DaskRows, TableRows, dask, fit_blocks, select_blocks
from hw4opt.problem import Model
from hw4opt.tables import TableFiles

arrow = pytest.importorskip("pyarrow", reason="Parquet files need pyarrow, an extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet files need pyarrow, an extra")
distributed = pytest.importorskip("distributed", reason="Dask needs distributed, an extra")

SIZE = 150_000
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # those of distributed are its own


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch):
    """Tasks of two blocks, so that each worker has several."""
    monkeypatch.setattr(dask, "PARTITION_BLOCKS", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parquet files whose row groups end anywhere."""
    draw = np.random.default_rng(0)
    x = draw.uniform(0, 1, SIZE)
    columns = {
        "x": x,
        "y": np.sin(8 * x) + 0.3 * draw.standard_normal(SIZE),
        "count": draw.poisson(np.exp(x)),
        "w": draw.uniform(0, 2, SIZE) * (draw.uniform(size=SIZE) > 0.1),
    }
    path = tmp_path_factory.mktemp("rows")
    for number, (low, high) in enumerate(((0, 70_001), (70_001, 90_000), (90_000, SIZE))):
        part = arrow.table({name: values[low:high] for name, values in columns.items()})
        parquet.write_table(part, path / f"{number}.parquet", row_group_size=7_777)
    return path


def rows_of(folder, y="y", **more):
    return TableRows(TableFiles.of(folder), ("x",), y, **more)


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (Model(RBF(30.0), Huber(0.5), [Ridge(0.1)], intercept=True), "y"),
        (Model(RBF(30.0), Poisson(), [Ridge(0.1)]), "count"),
        (Model(None, Squared(), intercept=True, standardize=True), "y"),
        (Model(None, Poisson(), intercept=True), "count"),
    ],
)
def test_two_workers_give_the_digits_of_one_process(client, folder, model, y):
    source = rows_of(folder, y, weights="w")
    there, here = fit_blocks(model, DaskRows(source, client)), fit_blocks(model, source)
    assert there.raise_for_status().certificate == here.certificate
    assert (there.w == here.w).all() and there.passes == here.passes and there.count == here.count


def test_choosing_goes_through_the_same_client(client, folder):
    source = rows_of(folder)
    model, more = Model(RBF(30.0), Huber(0.5), [Ridge(0.1)]), ("kfold:3", "grid", {"ridge": (0.01, 1.0, 2)})
    there, here = (select_blocks(model, rows, (), *more) for rows in (DaskRows(source, client), source))
    assert there.table == here.table and there.passes == here.passes


def test_states_of_rows_are_fitted_to_the_columns_of_the_workers(client, folder):
    source, folds = rows_of(folder, weights="w"), ((), "kfold:2")
    model = Model(RBF(30.0), Huber(0.5), [Ridge(0.1), TotalVariation(0.3)])
    there, here = fit_blocks(model, DaskRows(source, client)), fit_blocks(model, source)
    assert there.certificate == here.certificate and (there.w == here.w).all() and there.passes == here.passes == 2
    found, known = (select_blocks(model, rows, *folds) for rows in (DaskRows(source, client), source))
    assert found.table == known.table and found.passes == known.passes == 2


def test_folds_with_states_of_rows_are_fitted_on_the_workers(client, folder):
    """Also where one of them is killed; where memory is short there, that is the sentence of one process."""
    source, done, killed = rows_of(folder), [], []
    model = Model(RBF(30.0), Huber(0.5), [Ridge(0.1), TotalVariation(0.3)])
    words = ("kfold:4", "grid", {"ridge": (0.01, 1.0, 2)})

    def kill(*told):
        done.append(told)
        if not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    there = select_blocks(model, DaskRows(source, client), (), *words, progress=kill)
    here = select_blocks(model, source, (), *words)
    assert there.table == here.table and there.score == here.score and len(done) == 2
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_little_goes_between_workers(client, folder):
    rows = DaskRows(rows_of(folder), client)
    found = fit_blocks(Model(RBF(30.0), Squared(), [Ridge(0.1)]), rows)
    usage = rows.usage()
    of_rows = 16 * SIZE * found.passes  # bytes that would move, were the rows not kept
    assert usage.workers == 2 and 0 < usage.bytes_moved < of_rows / 2 and usage.worker_memory > 1e6


def test_a_killed_worker_costs_time_and_not_the_answer(client, folder):
    model, source = Model(RBF(30.0), Huber(0.5), [Ridge(0.1)]), rows_of(folder)
    rows, killed = DaskRows(source, client), []

    def kill():
        while rows.passes < 5:
            time.sleep(0.01)
        killed.append(next(iter(client.run(os.getpid).values())))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    there = fit_blocks(model, rows)
    thread.join()
    assert there.certificate == fit_blocks(model, source).certificate
    client.wait_for_workers(2, timeout=60)
    assert killed[0] not in client.run(os.getpid).values()


def test_what_workers_find_wrong_is_the_sentence_of_one_process(client, folder, tmp_path):
    model = Model(RBF(30.0), Poisson(), [Ridge(0.1)])
    y = np.where(np.arange(40_000) == 35_000, 0.5, 1.0)
    source = ArrayRows.of(np.linspace(0, 1, 40_000), y)
    for rows in (source, DaskRows(source, client)):
        with pytest.raises(InputError, match=r"y holds 0\.5 in row 35000") as caught:
            fit_blocks(model, rows)
        assert caught.value.row == 35_000
    (tmp_path / "a.csv").write_text("x,y\n1,2\n2,3\n")
    with pytest.raises(RefusedError, match="a CSV, whose rows cannot be addressed by number; write it as Parquet"):
        fit_blocks(model, DaskRows(TableRows(TableFiles.of(tmp_path / "a.csv"), ("x",), "y"), client))
    with pytest.raises(RefusedError, match="dropped rows cannot be read by row number; write files without empty"):
        fit_blocks(model, DaskRows(TableRows(TableFiles.of(tmp_path / "a.csv"), ("x",), "y", drop=True), client))
