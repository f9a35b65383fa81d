"""Languages by name: ready-made ones, families that files know, pictures."""
