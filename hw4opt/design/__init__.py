"""Linear functionals of the fit over a reduced basis, and the row maps that terms act through."""

from hw4opt.design.additive import AdditiveDesign, Categorical, Sum, Summand, SummandBasis
from hw4opt.design.base_rows import with_room
from hw4opt.design.design import Design

__all__ = ["AdditiveDesign", "Categorical", "Design", "Sum", "Summand", "SummandBasis", "with_room"]
