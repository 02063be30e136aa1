"""Shapes at every x of a range: proof that a fit has them, and the points where rows of it give them to the fit."""
