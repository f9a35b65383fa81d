"""Training of stacks of masked-token networks on languages whose conditionals are known exactly."""
