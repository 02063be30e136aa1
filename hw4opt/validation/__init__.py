"""What arguments may be, and arrays in the form that formulas use."""
