"""What code inside a Beam worker needs: threads, devices, counters, progress."""
