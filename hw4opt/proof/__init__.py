"""Proofs for an answer: duality gap, feasibility, existence of a maximum."""
