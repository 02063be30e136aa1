"""Proof of an answer, and of there being one: when a finite maximum exists, and the limits of predictions where none does."""
