"""The plateau law on trained networks: what sampled labels add to the loss, predicted from the spectrum of F."""
