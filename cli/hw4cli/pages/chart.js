// Charts of reports: lines, and dots with error bars, over one x.

const CHART_HEIGHT = 260;
const CHART_MARGIN = { left: 76, right: 14, top: 8, bottom: 40 };
const CHART_COLORS = 6;
const NAME_PIXELS = 7; // of a letter of the names below the axis

function chartLegend({ series }) {
  const named = series.filter((one) => one.name);
  const swatch = (one) => {
    const svg = d3.select(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    svg.attr("class", "figure").attr("viewBox", "0 0 22 10").attr("aria-hidden", true);
    const color = `series series-${one.color % CHART_COLORS}`;
    if (one.kind === "dots") svg.append("circle").attr("class", color).attr("cx", 11).attr("cy", 5).attr("r", 4);
    else svg.append("line").attr("class", `${color} ${one.kind}`).attr("x2", 22).attr("y1", 5).attr("y2", 5);
    return svg.node();
  };
  return element("div", { class: "chart-legend" }, ...named.map((one) => element("span", {}, swatch(one), one.name)));
}

function chartScale(logarithmic, values, range) {
  const [low, high] = d3.extent(values);
  if (logarithmic) return d3.scaleLog([low, high], range).nice();
  const room = 0.06 * (high - low || Math.abs(high) || 1);
  return d3.scaleLinear([low - room, high + room], range);
}

/** Ticks of the y axis: of a logarithmic one over some decades powers of ten. */
function chartTicks(scale, logarithmic) {
  const powers = scale.ticks(5).filter((one) => Number.isInteger(Math.round(1e6 * Math.log10(one)) / 1e6));
  return logarithmic && powers.length > 2 ? powers : scale.ticks(5);
}

/** chart: a record of `Chart` in report.py. */
function makeChart(container, chart) {
  container.append(element("h3", {}, chart.title), chartLegend(chart));
  const svg = d3.select(container).append("svg").attr("class", "figure").attr("role", "img");
  svg.attr("aria-label", `${chart.title}: ${chart.y_name} over ${chart.x_name}`);
  const caption = element("p", { class: "soft map-caption" }, " ");
  container.append(caption);
  const textOf = (value) => (chart.percent ? `${numberText(100 * value, 3)} %` : numberText(value, 4));
  const xs = chart.series.flatMap((one) => one.x);
  const ys = chart.series.flatMap((one) => [...one.y, ...one.low, ...one.high]).filter((value) => value !== null);

  function draw(width) {
    svg.selectAll("*").remove();
    svg.attr("viewBox", `0 0 ${width} ${CHART_HEIGHT}`).attr("height", CHART_HEIGHT);
    const [left, right] = [CHART_MARGIN.left, width - CHART_MARGIN.right];
    const [top, bottom] = [CHART_MARGIN.top, CHART_HEIGHT - CHART_MARGIN.bottom];
    const [first, last] = d3.extent(xs);
    const beside = chart.names.length ? 0.5 : 0.02 * (last - first) || 0.5;
    const x = d3.scaleLinear([first - beside, last + beside], [left, right]);
    const y = chartScale(chart.logarithmic, ys, [bottom, top]);
    const axis = d3.axisBottom(x).tickSizeOuter(0);
    if (chart.names.length) axis.tickValues([...chart.names.keys()]).tickFormat(nameThatFits(x(1) - x(0)));
    else
      axis
        .tickValues(x.ticks(width < 420 ? 4 : 8).filter((one) => Number.isInteger(one) || last - first < 1))
        .tickFormat((one) => numberText(one));
    const ticks = chartTicks(y, chart.logarithmic);
    svg
      .append("g")
      .attr("class", "grid")
      .selectAll("line")
      .data(ticks)
      .join("line")
      .attr("x1", left)
      .attr("x2", right)
      .attr("y1", y)
      .attr("y2", y);
    const axes = [
      [axis, `translate(0, ${bottom})`],
      [d3.axisLeft(y).tickValues(ticks).tickFormat(textOf).tickSizeOuter(0), `translate(${left}, 0)`],
    ];
    for (const [one, at] of axes) svg.append("g").attr("class", "axis").attr("transform", at).call(one);
    svg.selectAll(".axis").attr("font-family", null).attr("font-size", null);
    const label = () => svg.append("text").attr("text-anchor", "middle");
    label()
      .attr("x", (left + right) / 2)
      .attr("y", CHART_HEIGHT - 4)
      .text(chart.x_name);
    label()
      .attr("transform", `translate(12, ${(top + bottom) / 2}) rotate(-90)`)
      .text(chart.y_name);
    for (const one of chart.series) drawSeries(one, x, y);
  }

  const nameThatFits = (pixels) => (place) => {
    const name = chart.names[place],
      most = Math.max(3, Math.floor(pixels / NAME_PIXELS));
    return name.length > most ? `${name.slice(0, most - 1)}…` : name;
  };

  function drawSeries(one, x, y) {
    const color = `series series-${one.color % CHART_COLORS}`;
    const at = (k) => `${x(one.x[k]).toFixed(1)},`;
    if (one.kind !== "dots") {
      const line = d3
        .line(
          (_, k) => x(one.x[k]),
          (_, k) => y(one.y[k]),
        )
        .defined((value) => value !== null);
      svg.append("path").attr("class", `${color} ${one.kind}`).attr("d", line(one.y));
    }
    const bars = one.low.map((low, k) =>
      low === null || one.high[k] === null ? "" : `M${at(k)}${y(low)}L${at(k)}${y(one.high[k])}`,
    );
    svg.append("path").attr("class", `${color} error`).attr("d", bars.join(""));
    const shown = [...one.y.keys()].filter((k) => one.y[k] !== null && (one.kind === "dots" || one.y.length < 60));
    svg
      .append("g")
      .selectAll("circle")
      .data(one.kind === "dotted" ? [] : shown)
      .join("circle")
      .attr("class", color)
      .attr("r", one.kind === "dots" ? 4 : 2.6)
      .attr("cx", (k) => x(one.x[k]))
      .attr("cy", (k) => y(one.y[k]))
      .on("pointerenter", (_, k) => {
        const where = chart.names.length ? chart.names[Math.round(one.x[k])] : `${chart.x_name} ${one.x[k]}`;
        caption.textContent = `${one.name ? `${one.name}, ` : ""}${where}: ${textOf(one.y[k])}`;
      });
  }

  new ResizeObserver(([entry]) => {
    if (entry.contentRect.width > 0) draw(Math.floor(entry.contentRect.width));
  }).observe(container);
}
