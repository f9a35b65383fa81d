"""Languages whose masked conditionals are closed forms: pairs, brackets, nested brackets, explicit tables."""
