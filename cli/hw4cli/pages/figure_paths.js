// What a figure draws and says of points: paths, legend, the nearest point.

const REACH = 16; // pixels from a point at which it is taken
const LETTER = 6.4; // pixels of a letter of the legend
const CLOUD_CELL = 3; // pixels: points of the same cell are one dot, where they are many

const padded = ([low, high], share) => {
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
};

/** A line through points; none where y is null. */
const linePath = (xs, ys, sx, sy) =>
  d3
    .line(
      (_, k) => sx(xs[k]),
      (_, k) => sy(ys[k]),
    )
    .defined((_, k) => ys[k] !== null)(xs);

const middleOf = (levels) => levels[Math.floor(levels.length / 2)];

/** The range between the lowest and the highest of several curves, null of one. */
const levelBand = (view) =>
  view?.level_curves
    ? {
        x: view.curve_x,
        lower: view.level_curves[0],
        upper: view.level_curves.at(-1),
        name: `levels ${view.levels[0]} to ${view.levels.at(-1)}`,
      }
    : null;

const betweenPath = (xs, lows, highs, sx, sy) =>
  d3
    .area()
    .x((_, k) => sx(xs[k]))
    .y0((_, k) => sy(lows[k]))
    .y1((_, k) => sy(highs[k]))(xs);

/** One dot for points of the same few pixels; `left` is left out, as an element of its own. */
function cloudPath(xs, ys, sx, sy, left) {
  const taken = new Set(),
    dots = [];
  for (let row = 0; row < xs.length; row += 1) {
    const px = sx(xs[row]),
      py = sy(ys[row]),
      cell = Math.round(px / CLOUD_CELL) * 10000 + Math.round(py / CLOUD_CELL);
    if (row === left || taken.has(cell)) continue;
    taken.add(cell);
    dots.push(`M${px.toFixed(1)},${py.toFixed(1)}h0`);
  }
  return dots.join("");
}

/** Stems from zero of places that are not left out: of those in the same pixel one line, from the lowest to the highest. */
function stemPath({ x: xs, y: ys, fitted }, places, left, sx, r) {
  const spans = new Map();
  for (const k of places) {
    if (left.has(k)) continue;
    const px = sx(xs[k]),
      residual = ys[k] - fitted[k],
      span = spans.get(Math.round(px));
    if (!span) spans.set(Math.round(px), [px.toFixed(1), Math.min(residual, 0), Math.max(residual, 0)]);
    else if (residual < span[1]) span[1] = residual;
    else if (residual > span[2]) span[2] = residual;
  }
  return Array.from(spans.values(), ([px, low, high]) => `M${px},${r(low).toFixed(1)}V${r(high).toFixed(1)}`).join("");
}

/** Entries [name, kind] from left to right; names that do not fit into the width are shortened. */
function drawLegend(legend, entries, width) {
  const swatches = entries.reduce((sum, [, kind]) => sum + (kind === "dot" ? 34 : 41), MARGIN.left);
  const letters = entries.reduce((sum, [name]) => sum + name.length, 0),
    room = Math.max(0, width - swatches) / LETTER;
  const most = letters <= room ? Infinity : Math.max(3, Math.floor(room / entries.length));
  const shorten = (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
  let at = MARGIN.left;
  legend
    .selectAll("g")
    .data(entries)
    .join((enter) => {
      const g = enter.append("g");
      g.append("line");
      g.append("circle");
      g.append("text");
      return g;
    })
    .each(function ([name, kind]) {
      const g = d3.select(this).attr("transform", `translate(${at}, 15)`);
      g.select("line")
        .attr("class", kind === "dot" ? null : kind)
        .attr("x2", 22)
        .attr("y1", 0)
        .attr("y2", 0)
        .style("display", kind === "dot" ? "none" : null);
      g.select("line").classed("swatch-band", kind === "band");
      g.select("circle")
        .attr("class", "point")
        .attr("r", 4.5)
        .attr("cx", 11)
        .style("display", kind === "dot" ? null : "none");
      g.select("text")
        .attr("x", kind === "dot" ? 20 : 27)
        .attr("dy", "0.35em")
        .text(shorten(name));
      at += (kind === "dot" ? 34 : 41) + LETTER * shorten(name).length;
    });
}

/** The row of the nearest point within reach, null where there is none; `order` has rows in order of x. */
function nearestRow({ x: xs, y: ys }, order, sx, sy, px, py) {
  let best = null,
    least = REACH * REACH;
  const from = sx.invert(px - REACH),
    to = sx.invert(px + REACH);
  for (let at = d3.bisector((row) => xs[row]).left(order, from); at < order.length && xs[order[at]] <= to; at += 1) {
    const row = order[at],
      distance = (sx(xs[row]) - px) ** 2 + (sy(ys[row]) - py) ** 2;
    if (distance < least) [best, least] = [row, distance];
  }
  return best;
}

/** What is said of a row. */
function pointLabel({ data, view }, row) {
  const place = view ? view.rows.indexOf(row) : -1;
  const fit = place < 0 ? "" : `, residual ${numberText(view.y[place] - view.fitted[place], 3)}`;
  const at = view?.ticks ? view.ticks[data.x[row]] : numberText(data.x[row]);
  return `row ${row + 1}: ${data.xName} ${at}, ${data.yName} ${numberText(data.y[row])}${fit}`;
}
