"""Languages by their next token: n-gram models of text, causal transformers, and any model of one's own."""
