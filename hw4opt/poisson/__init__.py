"""Counts: when a maximum exists, mixtures of Poisson regressions by EM, and the playlists they make."""
