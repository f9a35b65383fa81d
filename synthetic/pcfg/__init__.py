"""Probabilistic context-free grammars: exact conditionals by inside and outside charts."""
