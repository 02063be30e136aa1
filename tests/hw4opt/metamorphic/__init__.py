"""Changes of a problem whose effect on the answer is known, and the problems they are tried on."""
