// The explorer: state, what is asked of the server, and what is drawn of its answers.

const LARGEST_HISTORY = 100;
const app = {
  data: null,
  original: null,
  edited: false,
  form: null,
  view: null,
  fit: null,
  beside: null,
  truth: null,
  pins: [],
  chosen: null,
  past: [],
  future: [],
  committed: null,
  dirty: false,
  dataDirty: false, // the server has other data than these
  moved: new Set(), // or it has these, but for rows that were moved
  askedOf: null, // x and y of the fit that was last asked for
  shared: false, // the server has data of the page's, of which moves can be told
  waiting: null,
  asked: 0,
  search: null,
  events: [],
  sent: [],
  trace: [],
};

// ---- asking ----------------------------------------------------------------------------------------------------------

const link = makeLink({
  heard: (message) => (answers[message.kind] || (() => {}))(message),
  opened(again) {
    app.waiting = null;
    if (app.search) endSearch("the connection was lost");
    showConnection(true);
    if (again && app.data) {
      app.dataDirty = true;
      ask();
    }
  },
  lost: () => showConnection(false),
});

function showConnection(live) {
  byId("connection").textContent = live ? "connected" : "connection lost: trying again, nothing here is lost";
  byId("connection").className = live ? "chip live" : "chip lost";
  document.body.classList.toggle("stale", !live);
}

/** Ask for the fit of what the page shows; while one is on its way the newest state waits, alone. */
function ask(event = null) {
  if (event) app.events.push(performance.now());
  app.dirty = true;
  pump();
}

function pump() {
  if (!app.dirty || app.waiting !== null || !link.open || !app.data) return;
  app.waiting = app.asked += 1;
  app.dirty = false;
  app.sent = app.events.splice(0);
  app.askedOf = { x: app.data.columns[app.data.x].slice(), y: app.data.columns[app.data.y].slice() };
  link.send({ kind: "fit", id: app.waiting, bands: byId("bands").checked, ...spoken() });
}

/** Settings and, where the server has others, data: all of them, or the points that were moved. */
function spoken() {
  const { columns, x, y, weights, groups } = app.data;
  const data = app.dataDirty ? { columns, x, y, weights, groups } : null;
  const moves = data ? null : [...app.moved].map((row) => [row, columns[x][row], columns[y][row]]);
  if (data) app.shared = app.edited;
  app.dataDirty = false;
  app.moved.clear();
  return { settings: settingsOf(app.form), data, moves: moves?.length ? moves : null };
}

/** What the server said of a fit, with what the page knows of its data. */
function viewOf({ rows, y, ...view }) {
  const { askedOf } = app,
    all = rows ?? [...askedOf.x.keys()];
  const of = (column) => (rows ? rows.map((row) => column[row]) : column);
  return { ...view, rows: all, x: of(askedOf.x), y: y ?? of(askedOf.y) };
}

const answers = {
  data({ data, truth }) {
    if (!app.data) app.form = formOf(PAGE.settings);
    if (!app.data || data.source !== app.data.source || !truth) Object.assign(app, { pins: [], chosen: null });
    else if (app.dataDirty) return; // a new connection's greeting: the page has data of its own
    Object.assign(app, {
      data,
      original: structuredClone(data),
      edited: false,
      shared: false,
      past: [],
      future: [],
      view: null,
      fit: null,
    });
    app.truth = truth ? PAGE.truth : null;
    byId("source").textContent = `${data.source}, ${data.columns[data.x].length} rows`;
    showColumns();
    controls.show(app.form);
    map.show([], []);
    byId("map-box").hidden = true;
    commit();
    draw(false);
    showPins();
    ask();
  },
  fit(message) {
    if (message.id !== app.waiting) return;
    message.view = viewOf(message.view);
    Object.assign(app, { waiting: null, fit: message, view: message.view });
    draw(true);
    showFit();
    const drawn = app.sent.splice(0);
    requestAnimationFrame(() => {
      const now = performance.now();
      app.trace.push(...drawn.map((at) => now - at));
    });
    pump();
  },
  beside(message) {
    if (message.id !== app.fit?.id) return;
    app.beside = message;
    if (message.band) draw(true);
    controls.setRanges(message.ranges, spreadOf(app.data.columns[app.data.y]));
    showNumbers();
    showWarnings();
  },
  progress({ id, done, total, best }) {
    if (id !== app.search) return;
    Object.assign(byId("progress"), { max: total, value: done });
    byId("choose-text").textContent = `${done} of about ${total} held-out fits; best error so far ${numberText(best)}`;
  },
  chosen(message) {
    if (message.id !== app.search) return;
    app.chosen = message;
    endSearch(
      `${methodText(message.method)}: ${numberText(message.score)} ± ${numberText(message.standard_error, 2)}, ${message.fits.toLocaleString("en")} fits in ${numberText(message.seconds, 2)} s. ${message.notes.join(" ")}`,
    );
    const named = Object.keys(message.table[0] || {}).filter(
      (name) => !["score", "standard_error", "unproven", "dropped"].includes(name),
    );
    byId("map-box").hidden = false;
    map.show(
      message.table,
      named.filter((name) => new Set(message.table.map((row) => row[name])).size > 1),
    );
    goTo(message.hyperparameters);
  },
  cancelled: ({ id }) => {
    if (id === app.search) endSearch("cancelled");
  },
  fitted: ({ columns }) => download("fitted.csv", csvText(columns), "text/csv"),
  report: ({ html }) => download("report.html", html, "text/html"),
  fault({ id, sentence }) {
    if (id !== null && id === app.search) endSearch(sentence);
    else showVerdict(false, "Not this", sentence);
    if (id === app.waiting) {
      Object.assign(app, { waiting: null, sent: [] });
      document.body.classList.add("stale");
      pump();
    }
  },
};

// ---- changes, and undoing them ---------------------------------------------------------------------------------------

const snapshot = () => structuredClone({ data: app.data, form: app.form, edited: app.edited });

function commit() {
  if (app.committed) app.past = [...app.past, app.committed].slice(-LARGEST_HISTORY);
  app.committed = snapshot();
  app.future = [];
  showTools();
}

function go(from, to) {
  if (!from.length) return;
  to.push(snapshot());
  app.committed = structuredClone(from.at(-1));
  Object.assign(app, from.pop(), { dataDirty: true });
  controls.show(app.form);
  showTools();
  draw(false);
  ask();
}
const undo = () => go(app.past, app.future),
  redo = () => go(app.future, app.past);

function changed(form, done) {
  if (done) commit();
  ask(true);
}

function goTo(hyperparameters) {
  app.form = withHyperparameters(app.form, hyperparameters);
  controls.show(app.form);
  changed(app.form, true);
}

/** The columns as they are edited; done: the change is one step of undoing. */
function edit(act, done) {
  act(app.data.columns);
  Object.assign(app, { edited: true, dataDirty: true });
  if (done) {
    commit();
    app.view = null;
  }
  ask(true);
}

const labels = () => (app.form.loss.name === "logistic" ? d3.extent(app.original.columns[app.original.y]) : null);

/** A target as the loss takes it: a whole count, one of two labels, or any number. */
function target(value) {
  const two = labels();
  if (two) return value > 0.5 ? two[1] : two[0];
  return app.form.loss.name === "poisson" ? Math.max(0, Math.round(value)) : rounded(value);
}
const rounded = (value) => Number(value.toPrecision(6));

const editing = {
  move(row, x, y, done) {
    if (x === null) {
      commit();
      draw(false);
      return;
    }
    const { columns, x: across, y: up } = app.data;
    columns[across][row] = rounded(x);
    columns[up][row] = target(y);
    app.edited = true;
    if (app.shared) app.moved.add(row);
    else app.dataDirty = true;
    figure.drawPoints(shown());
    if (done) {
      commit();
      keepFocus = row;
    }
    ask(true);
  },
  add(x, y) {
    edit((columns) => {
      const near = columns[app.data.x].reduce(
        (best, value, row, all) => (Math.abs(value - x) < Math.abs(all[best] - x) ? row : best),
        0,
      );
      for (const name of Object.keys(columns)) columns[name].push(name === app.data.weights ? 1 : columns[name][near]);
      const last = columns[app.data.x].length - 1;
      columns[app.data.x][last] = rounded(x);
      columns[app.data.y][last] = target(y);
    }, true);
    draw(false);
    figure.focusPoint(app.data.columns[app.data.x].length - 1);
  },
  remove(row) {
    if (app.data.columns[app.data.x].length < 3) return;
    edit((columns) => Object.values(columns).forEach((column) => column.splice(row, 1)), true);
    draw(false);
    figure.focusPoint(Math.min(row, app.data.columns[app.data.x].length - 1));
  },
};
let keepFocus = null;

// ---- showing ---------------------------------------------------------------------------------------------------------

const figure = makeFigure(byId("figure"), editing);
const map = makeMap(byId("map"), goTo);
const controls = makeControls(byId("form"), changed);

/** What the figure draws. */
function shown() {
  const { columns, x, y, weights } = app.data,
    two = labels();
  const drawn = two ? columns[y].map((value) => (value === two[1] ? 1 : 0)) : columns[y];
  const view = app.view && app.view.rows.length <= columns[x].length ? app.view : null;
  return {
    data: { x: columns[x], y: drawn, weights: weights && columns[weights], xName: x, yName: y },
    view,
    truth: two ? null : app.truth,
    pinned: app.pins,
    bands: byId("bands").checked && app.beside ? app.beside.band : null,
  };
}

function draw(steady) {
  figure.draw(shown(), steady);
  if (keepFocus !== null) {
    figure.focusPoint(keepFocus);
    keepFocus = null;
  }
}

const spreadOf = (values) => {
  const [low, high] = d3.extent(values);
  return high - low || 1;
};

function showVerdict(good, word, sentence) {
  byId("verdict").className = `verdict ${good ? "good" : "bad"}`;
  byId("verdict").replaceChildren(element("strong", {}, `${good ? "✓" : "✗"} ${word}`), element("span", {}, sentence));
}

function showFit() {
  const { fit } = app;
  document.body.classList.remove("stale");
  showVerdict(fit.certified, fit.status.replaceAll("_", " "), fit.message);
  showNumbers();
  showWarnings();
  byId("command").textContent = fit.command;
  byId("python").textContent = fit.python;
  byId("edited").hidden = !app.edited;
  map.mark(fit.hyperparameters);
}

function showNumbers() {
  const { fit, beside } = app,
    current = beside && beside.id === fit?.id;
  if (!fit) return;
  const heldOut = !beside
    ? "…"
    : beside.held_out === null
      ? `– (${beside.reason})`
      : `${numberText(beside.held_out, 5)} ± ${numberText(beside.standard_error, 2)}`;
  fillRows(byId("numbers"), [
    ["objective", numberText(fit.objective, 9)],
    ["relative gap", numberText(fit.relative_gap, 2)],
    ["fit is exact to", numberText(fit.exact_to, 2)],
    [
      beside?.method ? `held-out ${beside.metric}, ${methodText(beside.method)}` : "held-out error",
      element("span", { id: "held-out", class: current ? "" : "soft" }, heldOut),
    ],
    ...fit.shapes.map((sentence) => ["shape", sentence]),
    ["rank", String(fit.rank)],
    ["solver", `${fit.solver}, ${fit.iterations} iteration${fit.iterations === 1 ? "" : "s"}`],
    ["time", `${numberText(1000 * fit.seconds, 3)} ms`],
    ...Object.entries(fit.automatic).map(([name, value]) => [name, `${numberText(value)} (auto)`]),
  ]);
}

function showWarnings() {
  const sentences = [...app.fit.warnings, ...(app.beside && app.beside.id === app.fit.id ? app.beside.warnings : [])];
  byId("warnings").replaceChildren(...sentences.map((sentence) => element("li", {}, sentence)));
}

function showTools() {
  byId("undo").disabled = !app.past.length;
  byId("redo").disabled = !app.future.length;
  byId("reset").disabled = !app.edited;
}

function showColumns() {
  const { choices, x, y } = app.data;
  byId("column-pickers").hidden = choices.length < 3;
  for (const [id, value] of [
    ["column-x", x],
    ["column-y", y],
  ]) {
    byId(id).replaceChildren(...choices.map((name) => element("option", { value: name }, name)));
    byId(id).value = value;
  }
}

// ---- searches --------------------------------------------------------------------------------------------------------

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

// ---- files -----------------------------------------------------------------------------------------------------------

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

const click = (id, act) => byId(id).addEventListener("click", act);
startTheme(byId("theme"));
click("undo", undo);
click("redo", redo);
click("reset", () => {
  app.data = structuredClone(app.original);
  Object.assign(app, { edited: false, dataDirty: true });
  commit();
  draw(false);
  ask();
});
click("add", () => {
  const { curve_x, curve } = app.view,
    k = Math.floor(curve_x.length / 2);
  editing.add(curve_x[k], curve[k]);
});
let lastRow = null;
byId("figure").addEventListener("focusin", (event) => {
  if (event.target.dataset.row !== undefined) lastRow = Number(event.target.dataset.row);
});
click("remove", () => {
  if (lastRow !== null && lastRow < app.data.columns[app.data.x].length) editing.remove(lastRow);
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
