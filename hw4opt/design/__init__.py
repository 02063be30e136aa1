"""Linear functionals of the fit over a reduced basis, and the row maps that terms act through."""

from hw4opt.design.design import Design, with_room

__all__ = ["Design", "with_room"]
