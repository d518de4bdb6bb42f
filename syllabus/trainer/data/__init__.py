"""Samplers and streams: an epoch's examples as a data loader takes them."""
