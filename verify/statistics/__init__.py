"""Intervals and tests with stated error rates."""
