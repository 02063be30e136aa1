// The layers of a figure, in the order in which they are drawn, and where they lie.

const MARGIN = { left: 56, right: 14, top: 46, bottom: 40 };
const RESIDUAL_SHARE = 0.24; // of the height
const PANEL_GAP = 30;
const HEIGHTS = [320, 620]; // of a figure; between them as high as the window allows
const ABOVE_AND_BELOW = 250; // pixels of the window that are not the figure's
let figures = 0;

const heightFor = (width) =>
  Math.round(Math.max(HEIGHTS[0], Math.min(0.8 * width, HEIGHTS[1], window.innerHeight - ABOVE_AND_BELOW)));

function makeLayers(container, editable) {
  const number = (figures += 1);
  const svg = d3
    .select(container)
    .append("svg")
    .attr("class", editable ? "figure editable" : "figure")
    .attr("role", "group")
    .attr("aria-label", "Figure: data, fit and residuals");
  const clip = svg.append("defs").append("clipPath").attr("id", `clip-${number}`).append("rect");
  const clipLow = svg.select("defs").append("clipPath").attr("id", `clip-low-${number}`).append("rect");
  const layer = (name, parent = svg) => parent.append("g").attr("class", name);
  const grids = { x: layer("grid"), y: layer("grid"), r: layer("grid") };
  const axes = { x: layer("axis"), y: layer("axis"), r: layer("axis") };
  const hit = svg.append("rect").attr("class", "hit");
  const top = layer("top").attr("clip-path", `url(#clip-${number})`);
  const low = layer("low").attr("clip-path", `url(#clip-low-${number})`);
  const band = top.append("path").attr("class", "band"),
    bound = top.append("path").attr("class", "bound");
  const cloud = top.append("path").attr("class", "cloud");
  const truth = top.append("path").attr("class", "truth"),
    pins = layer("pins", top),
    levels = layer("levels", top);
  const curve = top.append("path").attr("class", "curve").attr("data-name", "fit");
  const zero = low.append("line").attr("class", "zero");
  const stems = low.append("path").attr("class", "stem"),
    farStems = low.append("path").attr("class", "stem outlier");
  const hover = layer("hover").style("display", "none").attr("pointer-events", "none");
  const hoverLine = hover.append("line").attr("class", "hover-line"),
    hoverDot = hover.append("circle").attr("class", "hover-dot").attr("r", 4);
  const points = top.append("g").attr("class", "points").attr("role", "group").attr("aria-label", "Data points");
  const legend = layer("legend"),
    readout = svg.append("text").attr("class", "readout").attr("y", 36);
  const names = {
    x: svg.append("text").attr("text-anchor", "middle"),
    y: svg.append("text").attr("text-anchor", "middle"),
    r: svg.append("text").attr("text-anchor", "middle").text("residual"),
  };
  return {
    ...{ svg, clip, clipLow, grids, axes, hit, band, bound, cloud, truth, pins, levels, curve, zero, stems, farStems, points },
    ...{ hover, hoverLine, hoverDot, legend, readout, names },
  };
}

/** Fit layers and the ranges of scales into a size. */
function setRanges({ svg, clip, clipLow, hit, names, readout }, { x, y, r }, { width, height }) {
  const inner = height - MARGIN.top - MARGIN.bottom - PANEL_GAP;
  const bottom = MARGIN.top + inner * (1 - RESIDUAL_SHARE);
  x.range([MARGIN.left, width - MARGIN.right]);
  y.range([bottom, MARGIN.top]);
  r.range([height - MARGIN.bottom, bottom + PANEL_GAP]);
  for (const one of [clip, hit])
    one
      .attr("x", MARGIN.left)
      .attr("y", MARGIN.top - 6)
      .attr("width", Math.max(width - MARGIN.left - MARGIN.right, 0))
      .attr("height", bottom - MARGIN.top + 12);
  clipLow
    .attr("x", MARGIN.left)
    .attr("y", bottom + PANEL_GAP - 4)
    .attr("width", Math.max(width - MARGIN.left - MARGIN.right, 0))
    .attr("height", height - MARGIN.bottom - bottom - PANEL_GAP + 8);
  svg.attr("viewBox", `0 0 ${width} ${height}`).attr("height", height);
  names.x.attr("x", (x.range()[0] + x.range()[1]) / 2).attr("y", height - 6);
  for (const [one, range] of [
    [names.y, y.range()],
    [names.r, r.range()],
  ])
    one.attr("transform", `translate(13, ${(range[0] + range[1]) / 2}) rotate(-90)`);
  readout.attr("x", MARGIN.left);
}

/** Axes and grid of the zoomed scales x and y, and of residuals r; `names` are those of places 0, 1, … along x. */
function drawAxes({ svg, axes, grids, zero }, { x, y, r }, { width, height }, names) {
  const few = width < 520 ? 5 : 9,
    across = x.range(),
    bottom = height - MARGIN.bottom;
  const places = names && [...names.keys()].filter((at) => x(at) >= across[0] && x(at) <= across[1]);
  const below = d3.axisBottom(x).ticks(few).tickSizeOuter(0);
  if (names) below.tickValues(places).tickFormat((at) => names[at]);
  axes.x.attr("transform", `translate(0, ${bottom})`).call(below);
  axes.y.attr("transform", `translate(${MARGIN.left}, 0)`).call(d3.axisLeft(y).ticks(6).tickSizeOuter(0));
  axes.r.attr("transform", `translate(${MARGIN.left}, 0)`).call(d3.axisLeft(r).ticks(3).tickSizeOuter(0));
  const lines = (group, scale, ticks, range, vertical) =>
    group
      .selectAll("line")
      .data(ticks)
      .join("line")
      .attr(vertical ? "x1" : "y1", scale)
      .attr(vertical ? "x2" : "y2", scale)
      .attr(vertical ? "y1" : "x1", range[0])
      .attr(vertical ? "y2" : "x2", range[1]);
  lines(grids.x, x, places ?? x.ticks(few), [MARGIN.top, bottom], true);
  lines(grids.y, y, y.ticks(6), across, false);
  lines(grids.r, r, r.ticks(3), across, false);
  zero.attr("x1", across[0]).attr("x2", across[1]).attr("y1", r(0)).attr("y2", r(0));
  svg.selectAll(".axis").attr("font-family", null).attr("font-size", null).attr("aria-hidden", true);
}
