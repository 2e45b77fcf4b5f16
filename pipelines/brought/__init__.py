"""Stages of runs that a person brought, which take the place of those of the same task and run."""
