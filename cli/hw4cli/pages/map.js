// What a search tried: scores over two hyper-parameters as a map, or along one.

const MAP_HEIGHT = 250;
const MAP_MARGIN = { left: 54, right: 10, top: 10, bottom: 38 };
const tickText = (value) => numberText(value, 2);
const scoreText = (value) => numberText(value, 4); // scores may differ little
const TOP_SHARE = 0.9; // beyond this quantile scores share one color

/** on(setting) is called with the hyper-parameters of a clicked setting; null: it only shows. */
function makeMap(container, on = null) {
  const pickers = element("div", { class: "map-pickers" });
  const caption = element("p", { class: "soft map-caption", "aria-live": "polite" });
  container.append(pickers);
  const svg = d3
    .select(container)
    .append("svg")
    .attr("class", "figure map")
    .attr("role", "group")
    .attr("aria-label", "Map of held-out errors");
  container.append(caption);
  const cells = svg.append("g"),
    marks = svg.append("g").attr("pointer-events", "none");
  const axes = { x: svg.append("g").attr("class", "axis"), y: svg.append("g").attr("class", "axis") };
  const labels = {
    x: svg.append("text").attr("text-anchor", "middle"),
    y: svg.append("text").attr("text-anchor", "middle"),
  };
  let table = [],
    names = [],
    shownNames = [],
    here = null,
    width = 0;
  const positive = (row) => names.every((name) => row[name] > 0);

  const textOf = (row) =>
    `${names.map((name) => `${name} ${numberText(row[name], 3)}`).join(", ")}: ${row.dropped ? "at least " : ""}${numberText(row.score)}${row.unproven ? " (not proven)" : ""}`;

  function draw() {
    if (!table.length || !width) return;
    const two = shownNames.length > 1,
      best = table.reduce((a, b) => (b.score < a.score ? b : a));
    svg.attr("viewBox", `0 0 ${width} ${MAP_HEIGHT}`).attr("height", MAP_HEIGHT);
    const box = [MAP_MARGIN.left, MAP_MARGIN.top, width - MAP_MARGIN.right, MAP_HEIGHT - MAP_MARGIN.bottom];
    const sx = logScale(shownNames[0], [box[0] + 8, box[2] - 8]);
    const sy = two
      ? logScale(shownNames[1], [box[3] - 8, box[1] + 8])
      : d3.scaleLog(scoreRange(), [box[3] - 8, box[1] + 8]).clamp(true);
    const spots = two ? bestOfEach() : table;
    const at = (row) => [sx(row[shownNames[0]]), two ? sy(row[shownNames[1]]) : sy(row.score)];
    const [low, high] = scoreRange(),
      shade = (score) => d3.interpolateViridis(1 - Math.min(1, Math.log(score / low) / (Math.log(high / low) || 1)));
    const voronoi = d3.Delaunay.from(spots.map(at)).voronoi(box);
    cells
      .selectAll("path")
      .data(spots)
      .join("path")
      .attr("class", two ? "cell" : "hit")
      .attr("d", (_, k) => voronoi.renderCell(k))
      .attr("fill", (row) => (two ? shade(row.score) : "none"))
      .style("pointer-events", "all")
      .style("cursor", on ? "pointer" : null)
      .on("click", (_, row) => on && on(pick(row)))
      .on("pointerenter", (_, row) => {
        caption.textContent = textOf(row);
      })
      .attr("role", on ? "button" : "img")
      .attr("aria-label", textOf)
      .attr("tabindex", (row) => (on && row === best ? 0 : -1))
      .on("keydown", pressed)
      .on("focus", (_, row) => {
        caption.textContent = textOf(row);
      });
    const ring = (row, kind) =>
      `<circle class="setting ${kind}" cx="${at(row)[0]}" cy="${at(row)[1]}" r="${kind === "best" ? 6 : 8}"></circle>`;
    const dots = spots
      .map((row) => `<circle class="tried" cx="${at(row)[0]}" cy="${at(row)[1]}" r="${two ? 1.2 : 3}"></circle>`)
      .join("");
    marks.html(dots + ring(best, "best") + (here ? ring({ ...here, score: here.score ?? best.score }, "here") : ""));
    const ticks = width < 280 ? 3 : 5;
    axes.x.attr("transform", `translate(0, ${box[3]})`).call(d3.axisBottom(sx).ticks(ticks, tickText));
    axes.y.attr("transform", `translate(${box[0]}, 0)`).call(d3.axisLeft(sy).ticks(5, two ? tickText : scoreText));
    svg.selectAll(".axis").attr("font-family", null).attr("font-size", null).attr("aria-hidden", true);
    labels.x
      .attr("x", (box[0] + box[2]) / 2)
      .attr("y", MAP_HEIGHT - 6)
      .text(shownNames[0]);
    labels.y
      .attr("transform", `translate(11, ${(box[1] + box[3]) / 2}) rotate(-90)`)
      .text(two ? shownNames[1] : "held-out error");
    if (!caption.textContent) caption.textContent = `Lowest: ${textOf(best)}`;
  }

  const logScale = (name, range) =>
    d3.scaleLog(
      d3.extent(table, (row) => row[name]),
      range,
    );
  const pick = (row) => Object.fromEntries(names.map((name) => [name, row[name]]));

  function scoreRange() {
    const scores = table
      .map((row) => row.score)
      .filter((score) => score !== null && score > 0)
      .sort((a, b) => a - b);
    return [scores[0], Math.max(d3.quantileSorted(scores, TOP_SHARE), scores[0] * 1.01)];
  }

  /** The best setting at each place of the two shown hyper-parameters. */
  function bestOfEach() {
    const best = new Map();
    for (const row of table) {
      const key = shownNames.map((name) => row[name]).join(" ");
      if (!best.has(key) || row.score < best.get(key).score) best.set(key, row);
    }
    return [...best.values()];
  }

  function pressed(event, row) {
    const all = cells.selectAll("path").nodes(),
      sorted = cells
        .selectAll("path")
        .data()
        .map((one, k) => [one.score, k])
        .sort((a, b) => a[0] - b[0])
        .map(([, k]) => k);
    const place = sorted.indexOf(all.indexOf(event.currentTarget));
    const goes = {
      ArrowRight: place + 1,
      ArrowDown: place + 1,
      ArrowLeft: place - 1,
      ArrowUp: place - 1,
      Home: 0,
      End: sorted.length - 1,
    };
    if (event.key in goes) all[sorted[Math.max(0, Math.min(goes[event.key], sorted.length - 1))]].focus();
    else if (on && (event.key === "Enter" || event.key === " ")) on(pick(row));
    else return;
    event.preventDefault();
  }

  function showPickers() {
    pickers.replaceChildren();
    if (names.length < 3) return;
    ["across", "up"].forEach((side, k) => {
      const select = element(
        "select",
        {
          onchange: () => {
            shownNames[k] = select.value;
            draw();
          },
        },
        ...names.map((name) => element("option", { value: name }, name)),
      );
      select.value = shownNames[k];
      pickers.append(element("label", {}, `${side} `, select));
    });
  }

  new ResizeObserver(([entry]) => {
    width = Math.floor(entry.contentRect.width);
    draw();
  }).observe(container);

  return {
    node: svg.node(),
    /** rows as those of a selection's table, and which names vary. */
    show(rows, varied) {
      names = varied;
      table = rows.filter((row) => row.score !== null && row.score > 0 && positive(row));
      const others = varied.slice(1).filter((name) => name !== "ridge");
      shownNames = [varied[0], ...(varied.length > 1 ? [others[0] ?? varied[1]] : [])];
      caption.textContent = "";
      container.hidden = !table.length || !varied.length;
      showPickers();
      draw();
    },
    /** Where the page is now; null where that is not on the map. */
    mark(setting) {
      here = setting && shownNames.length && shownNames.every((name) => setting[name] > 0) ? setting : null;
      draw();
    },
  };
}
