"""Exact fits without a few rows, computed from the fit of all rows."""
