"""The engine of leave-one-out: exact fits without a few rows, from the fit of all rows."""
