"""The parts of `radsnap train`: settings, rows, the network it starts from, how it is judged, what ships."""
