"""Measurements of the chapter `noise`."""
