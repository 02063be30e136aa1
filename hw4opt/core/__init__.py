"""The compiled core: C functions on flat arrays, and what calls them safely. It knows no term and no form.

C checks nothing. What is passed comes from `inputs` and `outputs` (`arrays.py`), a function is declared by `function`
(`library.py`), and called by `spread` (`threads.py`), which makes exceptions of what it answers.
"""

from __future__ import annotations

from hw4opt.core.arrays import Pointer, apart, given, made, updated
from hw4opt.core.library import function, lanes, library
from hw4opt.core.threads import Stop, spread

__all__ = ["Pointer", "Stop", "apart", "function", "given", "lanes", "library", "made", "spread", "updated"]
