// The figure of a fit: data, curves and residuals over one x, in one SVG. Without `on` it only shows.

const MARGIN = { left: 56, right: 14, top: 46, bottom: 40 };
const RESIDUAL_SHARE = 0.24; // of the height
const PANEL_GAP = 30;
const MAX_ELEMENTS = 500; // points that are elements of their own; more are one path, and the chosen one
const CLOUD_CELL = 3; // pixels: points of the same cell are one dot, where they are many
const STEMS_A_PIXEL = 1;
const REACH = 16; // pixels from a point at which it is taken
const KEY_STEP = 0.01; // of the range, for an arrow key; ten times that with Shift
const HEIGHTS = [320, 620]; // of a figure; between them as high as the window allows
const ABOVE_AND_BELOW = 250; // pixels of the window that are not the figure's
let figures = 0;

const heightFor = (width) =>
  Math.round(Math.max(HEIGHTS[0], Math.min(0.8 * width, HEIGHTS[1], window.innerHeight - ABOVE_AND_BELOW)));

/** on: {move(row, x, y, done), add(x, y), remove(row)}. */
function makeFigure(container, on = null) {
  const number = (figures += 1);
  const svg = d3
    .select(container)
    .append("svg")
    .attr("class", on ? "figure editable" : "figure")
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
    pins = layer("pins", top);
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

  const x = d3.scaleLinear(),
    y = d3.scaleLinear(),
    r = d3.scaleLinear();
  let shown = null,
    size = { width: 0, height: 0 },
    transform = d3.zoomIdentity,
    dragged = null,
    chosen = null;
  let order = [],
    rank = [];

  // ---- scales ----------------------------------------------------------------------------------------------------

  const padded = ([low, high], share) => {
    const room = (high - low || Math.abs(high) || 1) * share;
    return [low - room, high + room];
  };

  function setDomains() {
    const { data, view, truth: known } = shown;
    const values = [...d3.extent(data.y), ...(view ? d3.extent(view.curve) : []), ...(known ? d3.extent(known.y) : [])];
    x.domain(padded(d3.extent(data.x), 0.025));
    y.domain(padded(d3.extent(values), 0.06));
    setResidualDomain();
  }

  function setResidualDomain() {
    const residuals = shown.view ? shown.view.y.map((value, k) => value - shown.view.fitted[k]) : [0];
    const most = Math.max(...d3.extent(residuals).map(Math.abs)) || 1;
    if (!dragged || most > r.domain()[1]) r.domain([-1.12 * most, 1.12 * most]);
  }

  function setRanges() {
    const { width, height } = size,
      inner = height - MARGIN.top - MARGIN.bottom - PANEL_GAP;
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

  const zoomedX = () => transform.rescaleX(x),
    zoomedY = () => transform.rescaleY(y);

  // ---- drawing ---------------------------------------------------------------------------------------------------

  function drawAxes() {
    const few = size.width < 520 ? 5 : 9,
      sx = zoomedX(),
      sy = zoomedY(),
      bottom = size.height - MARGIN.bottom;
    axes.x.attr("transform", `translate(0, ${bottom})`).call(d3.axisBottom(sx).ticks(few).tickSizeOuter(0));
    axes.y.attr("transform", `translate(${MARGIN.left}, 0)`).call(d3.axisLeft(sy).ticks(6).tickSizeOuter(0));
    axes.r.attr("transform", `translate(${MARGIN.left}, 0)`).call(d3.axisLeft(r).ticks(3).tickSizeOuter(0));
    const lines = (group, scale, count, range, vertical) =>
      group
        .selectAll("line")
        .data(scale.ticks(count))
        .join("line")
        .attr(vertical ? "x1" : "y1", scale)
        .attr(vertical ? "x2" : "y2", scale)
        .attr(vertical ? "y1" : "x1", range[0])
        .attr(vertical ? "y2" : "x2", range[1]);
    lines(grids.x, sx, few, [MARGIN.top, bottom], true);
    lines(grids.y, sy, 6, x.range(), false);
    lines(grids.r, r, 3, x.range(), false);
    zero.attr("x1", x.range()[0]).attr("x2", x.range()[1]).attr("y1", r(0)).attr("y2", r(0));
    svg.selectAll(".axis").attr("font-family", null).attr("font-size", null).attr("aria-hidden", true);
  }

  function drawCurves() {
    const sx = zoomedX(),
      sy = zoomedY(),
      { view, truth: known, pinned, bands } = shown;
    const path = (xs, ys) =>
      d3
        .line(
          (_, k) => sx(xs[k]),
          (_, k) => sy(ys[k]),
        )
        .defined((_, k) => ys[k] !== null)(xs);
    const between = (xs, lows, highs) =>
      d3
        .area()
        .x((_, k) => sx(xs[k]))
        .y0((_, k) => sy(lows[k]))
        .y1((_, k) => sy(highs[k]))(xs);
    curve.attr("d", view && path(view.curve_x, view.curve));
    bound.attr(
      "d",
      view &&
        view.bound &&
        between(
          view.curve_x,
          view.curve.map((f, k) => f - view.bound[k]),
          view.curve.map((f, k) => f + view.bound[k]),
        ),
    );
    band.attr("d", bands && between(bands.x, bands.lower, bands.upper));
    truth.attr("d", known && path(known.x, known.y));
    pins
      .selectAll("path")
      .data(pinned || [])
      .join("path")
      .attr("class", (pin) => `pin pin-${pin.color}`)
      .attr("d", (pin) => path(pin.x, pin.y));
  }

  /** steady: nothing but the dragged point has moved. */
  function drawPoints(steady = false) {
    const sx = zoomedX(),
      sy = zoomedY(),
      { x: xs, y: ys, weights } = shown.data;
    const few = xs.length <= MAX_ELEMENTS,
      outliers = new Set(shown.view ? shown.view.outliers.map((k) => shown.view.rows[k]) : []);
    if (chosen >= xs.length) chosen = null;
    const first = chosen ?? outliers.values().next().value ?? order[0]; // what Tab goes to
    if (!steady) cloud.attr("d", few ? null : cloudPath(sx, sy, xs, ys));
    const rows = few ? order : [first];
    points
      .selectAll("circle")
      .data(rows, (row) => row)
      .join((enter) =>
        enter
          .append("circle")
          .attr("role", on ? "button" : "img")
          .on("keydown", pressed)
          .on("focus", (event, row) => {
            chosen = row;
            focusOn(row);
          })
          .on("blur", () => focusOn(null)),
      )
      .attr(
        "class",
        (row) =>
          `point${outliers.has(row) ? " outlier" : ""}${weights && weights[row] === 0 ? " left-out" : ""}${row === dragged ? " chosen" : ""}`,
      )
      .attr("r", (row) => (row === dragged ? 7 : outliers.has(row) ? 5.5 : 4.5))
      .attr("cx", (row) => sx(xs[row]))
      .attr("cy", (row) => sy(ys[row]))
      .attr("data-row", (row) => row)
      .attr("tabindex", (row) => (row === first && on ? 0 : -1))
      .attr("aria-label", labelOf);
  }

  /** One dot for points of the same few pixels; the dragged one is an element of its own. */
  function cloudPath(sx, sy, xs, ys) {
    const taken = new Set(),
      dots = [];
    for (let row = 0; row < xs.length; row += 1) {
      const px = sx(xs[row]),
        py = sy(ys[row]),
        cell = Math.round(px / CLOUD_CELL) * 10000 + Math.round(py / CLOUD_CELL);
      if (row === dragged || taken.has(cell)) continue;
      taken.add(cell);
      dots.push(`M${px.toFixed(1)},${py.toFixed(1)}h0`);
    }
    return dots.join("");
  }

  /** Stems from zero: of those in the same pixel one line, from the lowest to the highest. */
  function stemPath(places, sx) {
    const { x: xs, y: ys, fitted } = shown.view,
      spans = new Map();
    for (const k of places) {
      const px = Math.round(sx(xs[k]) * STEMS_A_PIXEL) / STEMS_A_PIXEL,
        residual = ys[k] - fitted[k],
        span = spans.get(px);
      if (!span) spans.set(px, [Math.min(residual, 0), Math.max(residual, 0)]);
      else if (residual < span[0]) span[0] = residual;
      else if (residual > span[1]) span[1] = residual;
    }
    return Array.from(spans, ([px, [low, high]]) => `M${px},${r(low).toFixed(1)}V${r(high).toFixed(1)}`).join("");
  }

  function drawResiduals() {
    if (!shown.view) return;
    const sx = zoomedX(),
      { rows, outliers } = shown.view,
      far = new Set(outliers);
    const others = [...rows.keys()].filter((k) => !far.has(k));
    stems.attr("d", stemPath(others, sx));
    farStems.attr("d", stemPath(outliers, sx));
  }

  function drawLegend() {
    const entries = [
      ["data", "dot"],
      ["fit", "curve"],
    ];
    if (shown.truth) entries.push(["truth", "truth"]);
    if (shown.bands) entries.push([shown.bands.name, "band"]);
    for (const pin of shown.pinned || []) entries.push([pin.name, `pin pin-${pin.color}`]);
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
        if (kind === "band")
          g.select("line").style("stroke", "var(--bound)").style("stroke-width", 10).style("stroke-opacity", 0.3);
        g.select("circle")
          .attr("class", "point")
          .attr("r", 4.5)
          .attr("cx", 11)
          .style("display", kind === "dot" ? null : "none");
        g.select("text")
          .attr("x", kind === "dot" ? 20 : 27)
          .attr("dy", "0.35em")
          .text(name);
        at += (kind === "dot" ? 34 : 41) + 6.4 * name.length;
      });
  }

  const labelOf = (row) => {
    const { data, view } = shown,
      place = view ? view.rows.indexOf(row) : -1;
    const fit = place < 0 ? "" : `, residual ${numberText(view.y[place] - view.fitted[place], 3)}`;
    return `row ${row + 1}: ${data.xName} ${numberText(data.x[row])}, ${data.yName} ${numberText(data.y[row])}${fit}`;
  };

  function drawAll() {
    if (!shown || !size.width) return;
    setRanges();
    names.x.text(shown.data.xName);
    names.y.text(shown.data.yName);
    drawAxes();
    drawCurves();
    drawPoints();
    drawResiduals();
    drawLegend();
  }

  // ---- reading values off ------------------------------------------------------------------------------------------

  const bisect = d3.bisector((value) => value).center;

  function focusOn(row) {
    const { data } = shown;
    hover.style("display", row === null ? "none" : null);
    readout.text(row === null ? "" : labelOf(row));
    if (row !== null) showHover(data.x[row]);
  }

  function showHover(value) {
    const { view } = shown;
    if (!view || !view.curve_x.length) return;
    const k = bisect(view.curve_x, value),
      at = zoomedX()(view.curve_x[k]);
    hoverLine
      .attr("x1", at)
      .attr("x2", at)
      .attr("y1", MARGIN.top)
      .attr("y2", size.height - MARGIN.bottom);
    hoverDot.attr("cx", at).attr("cy", zoomedY()(view.curve[k]));
    hover.style("display", null);
    return k;
  }

  svg
    .on("pointermove", (event) => {
      if (!shown || dragged !== null || event.pointerType === "touch") return;
      const [px, py] = d3.pointer(event),
        row = nearest(px, py);
      if (py < MARGIN.top - 6 || px < MARGIN.left || px > size.width - MARGIN.right) {
        focusOn(null);
        return;
      }
      const value = zoomedX().invert(px),
        k = showHover(value),
        { view, data } = shown;
      svg.style("cursor", on && row !== null ? "grab" : null);
      if (row !== null) readout.text(labelOf(row));
      else if (k !== undefined)
        readout.text(`${data.xName} ${numberText(view.curve_x[k])}: fit ${numberText(view.curve[k])}`);
    })
    .on("pointerleave", () => {
      if (shown && dragged === null) focusOn(null);
    });

  /** The row of the nearest point within reach, null where there is none. */
  function nearest(px, py) {
    const sx = zoomedX(),
      sy = zoomedY(),
      { x: xs, y: ys } = shown.data;
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

  // ---- editing ---------------------------------------------------------------------------------------------------

  function moveTo(row, px, py, done) {
    const inside = (scale, value) => scale.invert(value);
    on.move(
      row,
      inside(zoomedX(), Math.max(MARGIN.left, Math.min(px, size.width - MARGIN.right))),
      inside(zoomedY(), Math.max(4, Math.min(py, size.height - MARGIN.bottom))),
      done,
    );
  }

  function pressed(event, row) {
    if (!on) return;
    const { data } = shown,
      step = KEY_STEP * (event.shiftKey ? 10 : 1),
      place = rank[row];
    const spans = [x.domain()[1] - x.domain()[0], y.domain()[1] - y.domain()[0]];
    const moves = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const goes = { PageDown: place + 1, PageUp: place - 1, Home: 0, End: order.length - 1 };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      on.move(row, data.x[row] + dx * step * spans[0], data.y[row] + dy * step * spans[1], true);
    } else if (event.key in goes) focusPoint(order[Math.max(0, Math.min(goes[event.key], order.length - 1))]);
    else if (event.key === "Delete" || event.key === "Backspace") on.remove(row);
    else return;
    event.preventDefault();
  }

  function focusPoint(row) {
    chosen = row;
    drawPoints();
    points
      .selectAll("circle")
      .filter((one) => one === row)
      .node()
      ?.focus();
  }

  const zooming = d3
    .zoom()
    .scaleExtent([1, 40])
    .on("zoom", (event) => {
      transform = event.transform;
      drawAll();
    })
    .filter((event) =>
      event.type === "wheel"
        ? event.ctrlKey || event.metaKey
        : event.type !== "dblclick" && transform.k > 1 && nearest(...d3.pointer(event, svg.node())) === null,
    );
  svg.call(zooming).on("dblclick.zoom", null);

  if (on) {
    const dragging = d3
      .drag()
      .container(svg.node())
      .filter((event) => !event.ctrlKey && !event.button)
      .subject((event) => {
        const row = nearest(event.x, event.y);
        return row === null ? null : { row, x: event.x, y: event.y };
      })
      .on("start", (event) => {
        dragged = chosen = event.subject.row;
        svg.classed("dragging", true);
        drawPoints();
        points
          .selectAll("circle")
          .filter((row) => row === dragged)
          .node()
          ?.focus({ preventScroll: true });
      })
      .on("drag", (event) => moveTo(event.subject.row, event.x, event.y, false))
      .on("end", (event) => {
        const { row } = event.subject;
        dragged = null;
        svg.classed("dragging", false);
        on.move(row, null, null, true);
      });
    svg.call(dragging).style("touch-action", "pan-y");
    svg.on("dblclick", (event) => {
      const [px, py] = d3.pointer(event);
      if (nearest(px, py) === null && py > MARGIN.top && py < y.range()[0])
        on.add(zoomedX().invert(px), zoomedY().invert(py));
    });
  }

  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width !== size.width && width > 0) {
      size = { width, height: heightFor(width) };
      drawAll();
    }
  }).observe(container);

  return {
    node: svg.node(),
    focusPoint,
    /** shown: {data: {x, y, weights, xName, yName}, view, truth: {x, y}, pinned: [{name, color, x, y}], bands}. `steady` keeps the scales. */
    draw(next, steady = false) {
      shown = next;
      if (steady && dragged !== null) {
        setResidualDomain();
        drawCurves();
        drawPoints(true);
        drawResiduals();
        axes.r.call(d3.axisLeft(r).ticks(3).tickSizeOuter(0));
        readout.text(labelOf(dragged));
        return;
      }
      order = next.data.x.map((_, row) => row).sort((a, b) => next.data.x[a] - next.data.x[b]);
      rank = [];
      order.forEach((row, place) => {
        rank[row] = place;
      });
      setDomains();
      drawAll();
    },
    /** Only the points: while a fit is on its way. */
    drawPoints(next) {
      shown = next;
      drawPoints(dragged !== null);
    },
    zoomBy(factor) {
      svg.call(factor ? zooming.scaleBy : zooming.transform, factor || d3.zoomIdentity);
    },
  };
}
