"""The claims and their machine-checked derivations."""
