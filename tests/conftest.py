"""Tests see no GPU: what they expect to the last bit holds on a CPU. It has to be said before anything imports torch."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
