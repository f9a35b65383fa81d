"""Measurements of the chapter `symmetry`."""
