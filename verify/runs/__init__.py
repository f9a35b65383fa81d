"""Stored runs: found again by what determines them, resumed after an interruption, checked before they are used."""
