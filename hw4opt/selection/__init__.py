"""Choosing hyper-parameters by leave-one-out or K-fold error."""

from hw4opt.selection.choose import Selection, select
from hw4opt.selection.folds import k_fold, leave_one_out
from hw4opt.selection.held_out import score_settings
from hw4opt.selection.scores import Score

__all__ = ["Score", "Selection", "k_fold", "leave_one_out", "score_settings", "select"]
