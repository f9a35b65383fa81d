"""The command `flatproof`: `main` has the parser and the short verbs, `language` and `runs` the two long ones."""
