"""Surroundings of code inside a Beam worker: threads, devices, counters, progress."""
