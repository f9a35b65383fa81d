"""The proof kernel: all that must be trusted, and nothing else."""
