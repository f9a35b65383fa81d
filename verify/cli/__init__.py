"""The command `flatproof`: `main` has the parser and the short verbs, `language`, `run` and `runs` the long ones."""
