"""A batch of problems as algebra: rows, their operator, and the form that solvers and the certificate work on."""

from hw4opt.form._blocks import Kind, Piece, RowBlock, pieces_of
from hw4opt.form._quadratic import Quadratic
from hw4opt.form.box_rows import BoxRows
from hw4opt.form.form import Form, Units
from hw4opt.form.rows import cut_rows
from hw4opt.form.smooth_rows import SmoothRows
from hw4opt.form.term_rows import Rows, TermRows

__all__ = [
    "BoxRows",
    "Form",
    "Kind",
    "Piece",
    "Quadratic",
    "RowBlock",
    "Rows",
    "SmoothRows",
    "TermRows",
    "Units",
    "cut_rows",
    "pieces_of",
]
