"""How work is run: threads, processes, deadlines, files that are whole or not there."""
