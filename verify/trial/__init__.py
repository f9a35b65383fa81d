"""The trial of a claim: designs, decisions, evidence, report."""
