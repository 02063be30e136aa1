"""Tables: read from CSV and Parquet files, converted to features, and written as CSV."""

from hw4opt.tables.files import TableFiles
from hw4opt.tables.read import MOST_BYTES, STDIN, parse_table, read_table
from hw4opt.tables.table import Table

__all__ = ["MOST_BYTES", "STDIN", "Table", "TableFiles", "parse_table", "read_table"]
