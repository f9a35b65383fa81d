"""Measurements of the chapter `language_models`."""
