"""The explorer: one page, served on this machine, that fits as fast as its sliders and points are dragged."""
