"""Hidden Markov models: exact conditionals by forward and backward passes."""
