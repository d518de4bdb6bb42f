"""Reading a manifest as a stream."""
