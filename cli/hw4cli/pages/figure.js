// The figure of a fit: data, curves and residuals over one x, in one SVG. Without `on` it only shows.

const MAX_ELEMENTS = 500; // points that are elements of their own; more are one path, and the chosen one
const KEY_STEP = 0.01; // of the range, for an arrow key; ten times that with Shift

/** on: {move(row, x, y, done), add(x, y), remove(row)}. */
function makeFigure(container, on = null) {
  const parts = makeLayers(container, on !== null);
  const { svg, axes, band, bound, cloud, truth, pins, levels, curve, stems, farStems, points } = parts;
  const { legend, names } = parts;

  const x = d3.scaleLinear(),
    y = d3.scaleLinear(),
    r = d3.scaleLinear();
  let shown = null,
    size = { width: 0, height: 0 },
    transform = d3.zoomIdentity,
    dragged = null,
    chosen = null,
    order = [],
    rank = [],
    marked = new Set(); // rows that were last drawn in another way than the rest

  // ---- scales ----------------------------------------------------------------------------------------------------

  function setDomains() {
    const { data, view, truth: known, bands } = shown;
    const curves = [...(view ? (view.level_curves ?? [view.curve]) : []), ...(known ? [known.y] : [])];
    const ends = bands ? [bands.lower, bands.upper] : [];
    const values = [data.y, ...curves, ...ends].flatMap((one) => d3.extent(one));
    const across = [data.x, ...(view ? [view.curve_x] : [])].flatMap((one) => d3.extent(one));
    x.domain(padded(d3.extent(across), 0.025));
    y.domain(padded(d3.extent(values), 0.06));
    setResidualDomain();
  }

  /** While a point is dragged the domain only grows; whether it did. */
  function setResidualDomain() {
    const { view } = shown,
      most = (view && d3.extent(view.y, (value, k) => Math.abs(value - view.fitted[k]))[1]) || 1;
    if (dragged !== null && most <= r.domain()[1]) return false;
    r.domain([-1.12 * most, 1.12 * most]);
    return true;
  }

  const zoomedX = () => transform.rescaleX(x),
    zoomedY = () => transform.rescaleY(y);

  // ---- drawing ---------------------------------------------------------------------------------------------------

  /** What a fit changes. */
  function drawFit() {
    const sx = zoomedX(),
      sy = zoomedY(),
      { view, bands } = shown;
    curve.attr("d", view && linePath(view.curve_x, view.curve, sx, sy));
    bound.attr(
      "d",
      view &&
        view.bound &&
        betweenPath(
          view.curve_x,
          view.curve.map((f, k) => f - view.bound[k]),
          view.curve.map((f, k) => f + view.bound[k]),
          sx,
          sy,
        ),
    );
    const between = bands ?? levelBand(view);
    band.attr("d", between && betweenPath(between.x, between.lower, between.upper, sx, sy));
    levels
      .selectAll("path")
      .data(view?.level_curves ?? [])
      .join("path")
      .attr("class", "level")
      .attr("d", (values) => linePath(view.curve_x, values, sx, sy));
    drawResiduals(sx);
  }

  function drawKnown() {
    const sx = zoomedX(),
      sy = zoomedY(),
      { truth: known, pinned } = shown;
    truth.attr("d", known && linePath(known.x, known.y, sx, sy));
    pins
      .selectAll("path")
      .data(pinned || [])
      .join("path")
      .attr("class", (pin) => `pin pin-${pin.color}`)
      .attr("d", (pin) => linePath(pin.x, pin.y, sx, sy));
  }

  /** steady: nothing but the dragged point has moved (of a component all partial residuals do). */
  function drawPoints(steady = false) {
    const sx = zoomedX(),
      sy = zoomedY(),
      { x: xs, y: ys, weights } = shown.data;
    const few = xs.length <= MAX_ELEMENTS,
      outliers = new Set(shown.view ? shown.view.outliers.map((k) => shown.view.rows[k]) : []);
    if (chosen >= xs.length) chosen = null;
    const first = chosen ?? outliers.values().next().value ?? order[0]; // what Tab goes to
    const all = !steady || Boolean(shown.view?.names),
      before = marked;
    marked = new Set([...outliers, first, dragged]);
    if (all) cloud.attr("d", few ? null : cloudPath(xs, ys, sx, sy, dragged));
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
            readRow(row);
          })
          .on("blur", () => readRow(null)),
      )
      .filter((row) => all || marked.has(row) || before.has(row))
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

  function drawResiduals(sx) {
    if (!shown.view) return;
    const { rows, outliers } = shown.view,
      far = new Set(outliers);
    stems.attr("d", stemPath(shown.view, rows.keys(), far, sx, r));
    farStems.attr("d", stemPath(shown.view, outliers, new Set(), sx, r));
  }

  function showLegend() {
    const { view } = shown,
      band = shown.bands ?? levelBand(view);
    const entries = [
      [view?.names ? "partial residuals" : "data", "dot"],
      [view?.levels?.length ? `level ${middleOf(view.levels)}` : "fit", "curve"],
    ];
    if (shown.truth) entries.push(["truth", "truth"]);
    if (band) entries.push([band.name, "band"]);
    for (const pin of shown.pinned || []) entries.push([pin.name, `pin pin-${pin.color}`]);
    drawLegend(legend, entries, size.width);
  }

  const labelOf = (row) => pointLabel(shown, row);

  function drawAll() {
    if (!shown || !size.width) return;
    setRanges(parts, { x, y, r }, size);
    names.x.text(shown.data.xName);
    names.y.text(shown.data.yName);
    drawAxes(parts, { x: zoomedX(), y: zoomedY(), r }, size, shown.view?.ticks);
    drawKnown();
    drawFit();
    drawPoints();
    showLegend();
  }

  const nearest = (px, py) => nearestRow(shown.data, order, zoomedX(), zoomedY(), px, py);
  const { readRow, read } = startReading(parts, {
    editable: on !== null,
    state: () => (shown && dragged === null ? { shown, size, sx: zoomedX(), sy: zoomedY() } : null),
    nearest,
  });

  // ---- editing ---------------------------------------------------------------------------------------------------

  function moveTo(row, px, py) {
    const across = Math.max(MARGIN.left, Math.min(px, size.width - MARGIN.right)),
      up = Math.max(4, Math.min(py, size.height - MARGIN.bottom));
    on.move(row, zoomedX().invert(across), zoomedY().invert(up), false);
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

  const circleOf = (row) =>
    points
      .selectAll("circle")
      .filter((one) => one === row)
      .node();

  function focusPoint(row) {
    chosen = row;
    drawPoints();
    circleOf(row)?.focus();
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

  if (on)
    startEditing(svg, nearest, {
      taken(row) {
        dragged = chosen = row;
        drawPoints();
        circleOf(row)?.focus({ preventScroll: true });
      },
      moved: moveTo,
      released(row) {
        dragged = null;
        on.move(row, null, null, true);
      },
      added(px, py) {
        if (py > MARGIN.top && py < y.range()[0]) on.add(zoomedX().invert(px), zoomedY().invert(py));
      },
    });

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
        if (setResidualDomain()) axes.r.call(d3.axisLeft(r).ticks(3).tickSizeOuter(0));
        drawFit();
        drawPoints(true);
        read(labelOf(dragged));
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
