"""What is proven of an answer: its duality gap, feasibility, existence of a maximum, shapes between the rows."""
