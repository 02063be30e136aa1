"""A batch of problems as algebra: rows, their operator, and the form that solvers and the certificate work on."""

from hw4opt.form.form import Form, Kind, Quadratic, RowBlock, Units
from hw4opt.form.rows import BoxRows, Rows, SmoothRows
from hw4opt.form.term_rows import TermRows

__all__ = ["BoxRows", "Form", "Kind", "Quadratic", "RowBlock", "Rows", "SmoothRows", "TermRows", "Units"]
