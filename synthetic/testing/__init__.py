"""What holds a language to its interface: the conformance suite, an exact oracle, hypothesis strategies."""
