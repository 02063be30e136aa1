"""Linear functionals of the fit over a reduced basis, and the row maps that terms act through."""

from hw4opt.design.design import Design, difference_coefficients, with_room

__all__ = ["Design", "difference_coefficients", "with_room"]
