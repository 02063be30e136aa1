"""How work is run: threads, processes, Dask workers, deadlines, files that are whole or not there."""
