// The explorer's buttons and files, and searches.

function startSearch() {
  app.search = app.asked += 1;
  link.send({ kind: "choose", id: app.search, ...spoken() });
  for (const id of ["cancel", "progress"]) byId(id).hidden = false;
  byId("progress").removeAttribute("value");
  byId("choose").disabled = true;
  byId("choose-text").textContent = "searching …";
  pump();
}

function endSearch(sentence) {
  app.search = null;
  for (const id of ["cancel", "progress"]) byId(id).hidden = true;
  byId("choose").disabled = false;
  byId("choose-text").textContent = sentence;
}

async function openFile(file) {
  if (!file) return;
  if (file.size > PAGE.max_bytes) {
    showVerdict(
      false,
      "Not this",
      `${file.name} has ${file.size.toLocaleString("en")} bytes; up to ${PAGE.max_bytes.toLocaleString("en")} are taken (--max-upload)`,
    );
    return;
  }
  link.send({ kind: "load", id: null, name: file.name, text: await file.text() });
}

/** Where a new point goes: the middle of the curve, or of the rows while the fit of these rows is on its way. */
function middle() {
  if (app.view) {
    const { curve_x, curve } = app.view,
      k = Math.floor(curve_x.length / 2);
    return [curve_x[k], curve[k]];
  }
  const { x, y } = shown().data,
    [low, high] = d3.extent(x),
    center = (low + high) / 2;
  return [center, y[nearestTo(x, center)]];
}

const click = (id, act) => byId(id).addEventListener("click", (event) => app.data && act(event));
startTheme(byId("theme"));
click("undo", undo);
click("redo", redo);
click("reset", () => {
  app.data = structuredClone(app.original);
  Object.assign(app, { edited: false, dataDirty: true });
  showPart(app.form.shown);
  commit();
  draw(false);
  ask();
});
click("add", () => editing.add(...middle()));
let lastRow = null;
byId("figure").addEventListener("focusin", (event) => {
  if (event.target.dataset.row !== undefined) lastRow = Number(event.target.dataset.row);
});
click("remove", () => {
  if (lastRow !== null && lastRow < app.data.columns[app.data.y].length) editing.remove(lastRow);
});
click("zoom-in", () => figure.zoomBy(1.6));
click("zoom-out", () => figure.zoomBy(1 / 1.6));
click("zoom-all", () => figure.zoomBy(null));
click("pin", pin);
byId("bands").addEventListener("change", () => (byId("bands").checked ? ask() : draw(false)));
click("choose", startSearch);
click("cancel", () => {
  link.send({ kind: "cancel", id: app.search });
  endSearch("cancelled");
});
click("best", () => goTo(app.chosen.hyperparameters));
click("copy-command", (event) => copyText(byId("command").textContent, event.currentTarget));
click("copy-python", (event) => copyText(byId("python").textContent, event.currentTarget));
click("get-report", () => link.send({ kind: "report", id: (app.asked += 1), ...spoken() }));
click("get-data", () =>
  download(
    app.edited
      ? "edited.csv"
      : `${app.data.source
          .replace(/^.*[\\/]/, "")
          .replace(/\.\w+$/, "")
          .replaceAll(" ", "-")}.csv`,
    csvText(app.data.columns),
    "text/csv",
  ),
);
click("get-fitted", () => link.send({ kind: "fitted", id: (app.asked += 1), ...spoken() }));
click("get-svg", () => downloadSvg(figure.node, "fit"));
click("get-png", () => downloadPng(figure.node, "fit"));
click("open", () => byId("file").click());
byId("file").addEventListener("change", (event) => {
  openFile(event.target.files[0]);
  event.target.value = "";
});
for (const id of ["column-x", "column-y"])
  byId(id).addEventListener("change", () =>
    link.send({ kind: "columns", id: null, x: byId("column-x").value, y: byId("column-y").value }),
  );
byId("part").addEventListener("change", () => {
  showPart(byId("part").value);
  controls.show(app.form);
  commit();
  ask();
});
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || event.target.matches("input[type=text]"))
    return;
  event.preventDefault();
  (event.shiftKey ? redo : undo)();
});
for (const kind of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").hidden = kind !== "dragover";
    if (kind === "drop") openFile(event.dataTransfer.files[0]);
  });
}
window.hw4opt = { app, figure, link }; // for the browser's console, and for tests
