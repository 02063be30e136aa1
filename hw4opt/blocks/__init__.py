"""Fits to data that may exceed memory: rows are read from files one block at a time."""

from hw4opt.blocks.choose import BlocksSelection, select_blocks
from hw4opt.blocks.dask import DaskRows
from hw4opt.blocks.fit import fit_blocks
from hw4opt.blocks.model_file import is_blocks_file, load_blocks, save_blocks
from hw4opt.blocks.result import BlocksResult
from hw4opt.blocks.rows import ArrayRows, DataRows, RowSource
from hw4opt.blocks.tables import TableRows

__all__ = [
    "ArrayRows",
    "BlocksResult",
    "BlocksSelection",
    "DaskRows",
    "DataRows",
    "RowSource",
    "TableRows",
    "fit_blocks",
    "is_blocks_file",
    "load_blocks",
    "save_blocks",
    "select_blocks",
]
