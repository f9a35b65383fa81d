"""Derive the loss, Fisher matrix and flow of a small model of one's own."""
