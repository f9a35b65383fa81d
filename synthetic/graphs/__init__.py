"""Languages on graphs: Ising, Potts, parity and hypergraph models."""
