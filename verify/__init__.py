"""Numerical verification of the claims in `theory`."""
