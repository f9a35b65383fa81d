"""Languages made of languages: mixtures, concatenations, noise on targets or tokens, restrictions."""
