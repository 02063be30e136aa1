"""Tests see no GPU: what they expect to the last bit holds on a CPU. It has to be said before anything imports torch.

Without torch, which is an extra, those of hw4nets are left out.
"""

import os
from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["hw4nets"]

os.environ["CUDA_VISIBLE_DEVICES"] = ""
