"""Measurements of the chapter `minima`."""
