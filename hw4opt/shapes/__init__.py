"""Shape constraints at every x of a range: semi-infinite constraints, imposed by exchange of finitely many points, and
proven over the whole range."""
