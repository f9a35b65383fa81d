"""Languages with exact masked-token conditionals."""
