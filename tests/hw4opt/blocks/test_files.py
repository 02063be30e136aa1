"""DataRows from files equal those from arrays; messages for faults; memory that does not grow with the files."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hw4opt import RBF, Huber, InputError, Poisson, Ridge
from hw4opt.blocks import ArrayRows, TableRows, fit_blocks
from hw4opt.problem import Model
from hw4opt.tables import TableFiles

arrow = pytest.importorskip("pyarrow", reason="Parquet files need pyarrow, an extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet files need pyarrow, an extra")

SIZE = 3_000
MODEL = Model(RBF(30.0), Huber(0.5), [Ridge(0.1)], intercept=True)


def columns(size=SIZE, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.uniform(0, 1, size)
    return {
        "time": x,
        "y": np.sin(8 * x) + 0.3 * draw.standard_normal(size),
        "w": draw.uniform(0.5, 2, size),
        "o": 0.1 * draw.standard_normal(size),
        "count": draw.poisson(2.0, size).astype(float),
        "e": draw.uniform(1, 2, size),
    }


def write(folder, table, kind, cuts=(1_000, 1_700)):
    """Three files."""
    for number, (low, high) in enumerate(zip((0, *cuts), (*cuts, SIZE), strict=True)):
        part = {name: values[low:high] for name, values in table.items()}
        path = folder / f"part{number}.{kind}"
        if kind == "parquet":
            parquet.write_table(arrow.table(part), path, row_group_size=300, write_page_checksum=True)
        else:
            lines = [",".join(map(repr, map(float, row))) for row in zip(*part.values(), strict=True)]
            path.write_text("\n".join([",".join(part), *lines]) + "\n")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_give_the_digits_of_arrays(tmp_path, kind):
    table = columns()
    write(tmp_path, table, kind)
    files = TableFiles.of(tmp_path / f"*.{kind}")
    rows = TableRows(files, ("time",), "y", "w", "o")
    found, whole = (
        fit_blocks(MODEL, source) for source in (rows, ArrayRows.of(*(table[name] for name in ("time", "y", "w", "o"))))
    )
    assert (found.w == whole.w).all() and found.certificate == whole.certificate and found.has_offset
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files.paths)
    assert files.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()
    assert TableFiles.of(files.paths[0]).sha256 in digests
    assert [path.name for path in TableFiles.of(tmp_path).paths] == [f"part{k}.{kind}" for k in range(3)]


def test_exposure_is_an_offset(tmp_path):
    table = columns()
    write(tmp_path, table, "parquet")
    model = Model(None, Poisson(), intercept=True)
    found = fit_blocks(model, TableRows(TableFiles.of(tmp_path), ("time",), "count", exposure="e"))
    whole = fit_blocks(model, ArrayRows.of(table["time"], table["count"], None, np.log(table["e"])))
    assert (found.w == whole.w).all()


def test_rows_with_a_missing_cell_are_dropped_where_that_is_asked(tmp_path):
    table = columns()
    table["y"][[4, 2_500]] = np.nan
    write(tmp_path, table, "parquet")
    files = TableFiles.of(tmp_path)
    with pytest.raises(InputError, match=r"part0\.parquet: column 'y' holds nan in row 4; give a value, drop the row"):
        fit_blocks(MODEL, TableRows(files, ("time",), "y"))
    kept = np.isfinite(table["y"])
    found = fit_blocks(MODEL, TableRows(files, ("time",), "y", drop=True))
    assert (found.w == fit_blocks(MODEL, ArrayRows.of(table["time"][kept], table["y"][kept])).w).all()


def test_a_missing_column_is_named_before_anything_is_read(tmp_path):
    table = columns()
    write(tmp_path, table, "parquet")
    del table["time"]
    part = {name: values[:10] for name, values in table.items()}
    parquet.write_table(arrow.table(part), tmp_path / "part2.parquet")
    with pytest.raises(InputError, match=r"part2\.parquet has no column 'time', which .*part0\.parquet has"):
        TableFiles.of(tmp_path)


def test_a_damaged_file_in_the_middle_is_named(tmp_path):
    write(tmp_path, columns(), "parquet")
    path = tmp_path / "part1.parquet"
    whole = bytearray(path.read_bytes())
    files = TableFiles.of(tmp_path)
    whole[400:600] = bytes(200)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"part1\.parquet is damaged or not a Parquet file"):
        fit_blocks(MODEL, TableRows(files, ("time",), "y"))
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"part1\.parquet is damaged or not a Parquet file"):
        TableFiles.of(tmp_path)


def test_text_in_the_middle_of_a_csv_is_named_by_its_row(tmp_path):
    write(tmp_path, columns(), "csv")
    path = tmp_path / "part1.csv"
    lines = path.read_text().splitlines()
    lines[201] = "n/a" + lines[201][lines[201].index(",") :]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"part1\.csv: column 'time' holds text \('n/a'\) in row 200") as caught:
        fit_blocks(MODEL, TableRows(TableFiles.of(tmp_path), ("time",), "y"))
    assert caught.value.row == 200
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InputError, match=r"part1\.csv is not UTF-8 text \(line 701\)"):
        list(TableFiles.of(tmp_path).blocks(["time"]))
    lines[300] += ",7"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="has 7 cells in row 299 and 6 in the header"):
        list(TableFiles.of(tmp_path).blocks(["time"]))


def test_a_file_that_changes_between_passes_is_refused(tmp_path):
    write(tmp_path, columns(), "csv")
    files = TableFiles.of(tmp_path)
    list(files.blocks(["y"]))
    with (tmp_path / "part1.csv").open("a") as file:
        file.write("1,2,3,4,5,6\n")
    with pytest.raises(InputError, match=r"part1\.csv was changed while it was read"):
        list(files.blocks(["y"]))


def test_names_that_name_nothing(tmp_path):
    with pytest.raises(InputError, match=r"no file is named .*\*\.csv"):
        TableFiles.of(tmp_path / "*.csv")
    with pytest.raises(InputError, match="holds no file that ends in"):
        TableFiles.of(tmp_path)


PEAK = """
import sys
from pathlib import Path
from hw4opt import RBF, Huber, Ridge
from hw4opt.blocks import TableRows, fit_blocks
from hw4opt.problem import Model
from hw4opt.tables import TableFiles
fit_blocks(Model(RBF(30.0), Huber(0.5), [Ridge(0.1)]), TableRows(TableFiles.of(sys.argv[1]), ("time",), "y"))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])  # ru_maxrss is also of the parent
"""


def peak(path):
    """Peak memory of a separate process in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return 1024 * int(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Ten times as many rows, whose part of A alone would be 500 MB in memory."""
    sizes = {}
    for size in (200_000, 2_000_000):
        folder = tmp_path / str(size)
        folder.mkdir()
        draw = np.random.default_rng(0)
        x = draw.uniform(0, 1, size)
        table = arrow.table({"time": x, "y": np.sin(8 * x) + 0.3 * draw.standard_normal(size)})
        parquet.write_table(table, folder / "all.parquet", row_group_size=100_000)
        sizes[size] = peak(folder)
    few, many = sizes.values()
    assert many < 500e6 and many - few < 60e6
