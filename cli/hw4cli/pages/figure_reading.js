// Reading values off a figure: under the pointer, and of the point that has the focus.

/** state() is {shown, size, sx, sy}, null while a point is dragged; nearest(px, py) a row or null. */
function startReading({ svg, hover, hoverLine, hoverDot, readout }, { editable, state, nearest }) {
  const closest = d3.bisector((value) => value).center;

  function showHover({ shown: { view }, size, sx, sy }, value) {
    if (!view || !view.curve_x.length) return undefined;
    const k = closest(view.curve_x, value),
      at = sx(view.curve_x[k]);
    hoverLine
      .attr("x1", at)
      .attr("x2", at)
      .attr("y1", MARGIN.top)
      .attr("y2", size.height - MARGIN.bottom);
    hoverDot.attr("cx", at).attr("cy", sy(view.curve[k] ?? view.curve[k - 1]));
    hover.style("display", null);
    return k;
  }

  /** Show what is known of a row; of null nothing. */
  function readRow(row) {
    const now = state();
    hover.style("display", "none");
    readout.text(row === null || !now ? "" : pointLabel(now.shown, row));
    if (row !== null && now) showHover(now, now.shown.data.x[row]);
  }

  svg
    .on("pointermove", (event) => {
      const now = state();
      if (!now || event.pointerType === "touch") return;
      const [px, py] = d3.pointer(event),
        row = nearest(px, py);
      if (py < MARGIN.top - 6 || px < MARGIN.left || px > now.size.width - MARGIN.right) {
        readRow(null);
        return;
      }
      const k = showHover(now, now.sx.invert(px));
      svg.style("cursor", editable && row !== null ? "grab" : null);
      if (row !== null) readout.text(pointLabel(now.shown, row));
      else if (k !== undefined) readout.text(curveLabel(now.shown, k));
    })
    .on("pointerleave", () => {
      if (state()) readRow(null);
    });

  return { readRow, read: (sentence) => readout.text(sentence) };
}

/** What is said of the curve at one of its points. */
function curveLabel({ data, view }, k) {
  const at = view.ticks ? view.ticks[Math.round(view.curve_x[k])] : numberText(view.curve_x[k]);
  const levels = view.levels ?? [];
  const values = levels.length
    ? levels.map((level, place) => `level ${level} ${numberText(view.level_curves[place][k])}`)
    : [`fit ${numberText(view.curve[k] ?? view.curve[k - 1])}`];
  return `${data.xName} ${at}: ${values.join(", ")}`;
}
