"""The parts of `radsnap benchmark`: what it reads, plans, warns of, draws and writes."""
