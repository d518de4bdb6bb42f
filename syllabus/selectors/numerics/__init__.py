"""Compiled sums, products and random numbers with stated error bounds."""
