"""Fast runs: empty figures, and shared built-in images."""

import copy
import functools

from matplotlib.figure import Figure

from hw4nets import data, runs

images = functools.cache(data.synthetic)


def lighten(patch) -> None:
    """The three figures of a run are empty (they are written all the same), and the built-in images are copies."""
    for name in ("plot_curves", "plot_confusion", "plot_worst"):
        patch.setattr(runs, name, lambda *given: Figure(figsize=(1, 1)))
    patch.setattr(data, "synthetic", lambda *given, **named: copy.deepcopy(images(*given, **named)))
