"""A problem: description and data, checked."""

from hw4opt.problem.problem import Problem

__all__ = ["Problem"]
