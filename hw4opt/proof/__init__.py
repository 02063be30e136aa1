"""When a likelihood has a finite maximum, and the limits of predictions where it has none."""
