"""Cohorts: stacks of networks, each on a random language of its own, trained in several ways and compared fairly."""
