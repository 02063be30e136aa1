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
  shift: null, // of a component of a sum: from y to the partial residuals that are drawn, a row each
  across: null, // where rows are drawn that are at no column's values: those of levels, and of several columns
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
  const { columns, x, y } = app.data;
  app.askedOf = { x: x && columns[x].slice(), y: columns[y].slice(), part: app.form.shown };
  link.send({ kind: "fit", id: app.waiting, bands: byId("bands").checked && !byId("bands").disabled, ...spoken() });
}

/** Settings and, where the server has others, data: all of them, or the points that were moved. */
function spoken() {
  const { columns, x, y, weights, groups } = app.data,
    shown = app.form.shown || null;
  const data = app.dataDirty ? { columns, x: shown ? null : x, y, weights, groups } : null;
  const moves = data ? null : [...app.moved].map((row) => [row, x && columns[x][row], columns[y][row]]);
  if (data) app.shared = app.edited;
  app.dataDirty = false;
  app.moved.clear();
  return { settings: settingsOf(app.form), shown, data, moves: moves?.length ? moves : null };
}

/** What the server said of a fit, with what the page knows of its data. */
function viewOf({ rows, x, y, ...view }) {
  const { askedOf } = app,
    all = rows ?? [...askedOf.y.keys()];
  const of = (column) => (rows ? rows.map((row) => column[row]) : column);
  return { ...view, rows: all, x: x ?? of(askedOf.x), y: y ?? of(askedOf.y) };
}

/** Values of the drawn rows as values of all rows, `other` where there are none. */
function byRow(rows, values, other) {
  const found = app.askedOf.y.map(() => other);
  rows.forEach((row, k) => {
    found[row] = values[k];
  });
  return found;
}

/** Take the view of an answer, and where it draws the rows. */
function takeView({ view }) {
  app.view = viewOf(view);
  const { rows, x, y } = app.view;
  const left = () => y.map((value, k) => value - app.askedOf.y[rows[k]]);
  app.shift = app.form.shown ? byRow(rows, left(), 0) : null;
  app.across = app.data.x === null ? byRow(rows, x, x[0]) : null;
}

/** Show a component of a sum; of other problems there is the one of the name "". */
function showPart(name) {
  const part = app.data.components[name];
  app.form.shown = name;
  showParts();
  if (!part) return;
  app.data.x = part.fixed ? null : part.columns[0];
  if (app.moved.size) app.dataDirty = true; // moves are told of the component that is shown
  Object.assign(app, { view: null, shift: null, across: null });
}

const answers = {
  data({ data, settings, truth }) {
    if (!app.data) app.form = formOf(PAGE.settings);
    else if (settings && app.form.shown) app.form = formOf(settings);
    if (!app.data || data.source !== app.data.source || !truth) Object.assign(app, { pins: [], chosen: null });
    else if (app.dataDirty) return; // a new connection's greeting: the page has data of its own
    Object.assign(app, {
      data,
      original: structuredClone(data),
      edited: false,
      shared: false,
      past: [],
      future: [],
      fit: null,
    });
    showPart(app.form.shown);
    app.truth = truth ? PAGE.truth : null;
    byId("source").textContent = `${data.source}, ${data.columns[data.y].length} rows`;
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
    Object.assign(app, { waiting: null, fit: message });
    if (app.askedOf.part === app.form.shown) takeView(message);
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
      `${methodText(message.method)}: ${numberText(message.score)} ± ${numberText(message.standard_error, 2)}, ${message.fits.toLocaleString("en")} fits in ${numberText(message.seconds, 2)} s.`,
    );
    const named = Object.keys(message.table[0] || {}).filter(
      (name) => !["score", "standard_error", "unproven", "dropped"].includes(name),
    );
    fillList(byId("choice-notes"), message.notes);
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
