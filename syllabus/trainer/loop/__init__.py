"""One flat training loop."""
