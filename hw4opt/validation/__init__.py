"""Checks of arguments, and arrays converted for use in formulas."""
