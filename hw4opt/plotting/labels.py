"""Labels that avoid each other."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

BESIDE = 7.0  # points between a place and its label
LINE = 1.5  # of the font's size: how far a step goes
MOST_STEPS = 20  # up and down
FONT_SIZE = 9


class SpreadLabel(Annotation):
    """A label beside a point of the axes, moved up or down where it would cover one of `others`.

    It is placed when it is drawn: only then are the sizes of axes and text known. `others` are drawn before it.
    """

    def __init__(
        self,
        axes: Axes,
        words: str,
        place: tuple[float, float],
        on_left: bool,
        color: str,
        others: tuple[SpreadLabel, ...] = (),
    ) -> None:
        super().__init__(
            words,
            place,
            xytext=(-BESIDE if on_left else BESIDE, 0.0),
            textcoords="offset points",
            ha="right" if on_left else "left",
            va="center",
            color=color,
            fontsize=FONT_SIZE,
            bbox={"facecolor": axes.get_facecolor(), "edgecolor": "none", "alpha": 0.75, "pad": 1},
            zorder=6,
        )
        self.others = others
        axes.add_artist(self)

    def draw(self, renderer: RendererBase) -> None:
        """Find a free position, and draw."""
        across, taken = self.xyann[0], [other.get_window_extent(renderer) for other in self.others]
        for step in (0, *(sign * step for step in range(1, MOST_STEPS) for sign in (-1, 1))):
            self.xyann = (across, step * LINE * FONT_SIZE)
            if self._fits(self.get_window_extent(renderer), taken):
                break
        super().draw(renderer)

    def _fits(self, box: Bbox, taken: list[Bbox]) -> bool:
        assert self.axes is not None
        inside = self.axes.bbox
        return inside.y0 <= box.y0 and box.y1 <= inside.y1 and not any(box.overlaps(other) for other in taken)
