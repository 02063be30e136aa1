// A report: figures that show values under the pointer, zoom, and hide what is not wanted.

startTheme(byId("theme"));

function showFit(place, { data, view, truth, bands }) {
  const hidden = [["data", "data"], ["fit", "fit"], ...(truth ? [["truth", "truth"]] : [])];
  const shown = element("div", { class: "shown" });
  for (const [name, kind] of hidden) {
    const box = element("input", {
      type: "checkbox",
      onchange: () => place.classList.toggle(`hide-${kind}`, !box.checked),
    });
    box.checked = true;
    shown.append(element("label", {}, box, name));
  }
  place.append(shown);
  const figure = makeFigure(place);
  const zoom = (label, text, factor) =>
    element("button", { type: "button", "aria-label": label, onclick: () => figure.zoomBy(factor) }, text);
  const save = (text, act) => element("button", { type: "button", onclick: () => act(figure.node, "fit") }, text);
  shown.append(zoom("Zoom in", "+", 1.6), zoom("Zoom out", "−", 1 / 1.6), zoom("Show all", "All", null));
  shown.append(save("SVG", downloadSvg), save("PNG", downloadPng));
  figure.draw({ data, view, truth, pinned: [], bands });
}

for (const one of PAGE.figures || []) showFit(byId(one.place), one);
for (const { place, names } of PAGE.maps || []) {
  const map = makeMap(byId(place));
  map.show(PAGE.rows, names);
  map.mark(PAGE.here);
}
for (const chart of PAGE.charts || []) makeChart(byId(chart.place), chart);
