"""Measurements of the chapter `transfer`."""
