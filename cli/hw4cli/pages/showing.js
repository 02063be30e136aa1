// What the explorer shows of a fit: figure, numbers, sentences.

const figure = makeFigure(byId("figure"), editing);
const map = makeMap(byId("map"), goTo);
const controls = makeControls(byId("form"), changed);

/** What the figure draws. */
function shown() {
  const { columns, x, y, weights } = app.data,
    { shift, across } = app,
    two = shift ? null : labels();
  const scaled = shift
    ? columns[y].map((value, row) => value + shift[row])
    : two
      ? columns[y].map((value) => (value === two[1] ? 1 : 0))
      : columns[y];
  const view = app.view && app.view.rows.length <= columns[y].length ? app.view : null;
  const [xName, yName] = app.view?.names ?? [x, y];
  return {
    data: { x: across ?? columns[x], y: scaled, weights: weights && columns[weights], xName, yName },
    view,
    truth: two ? null : app.truth,
    pinned: app.pins.filter(({ form }) => form.shown === app.form.shown),
    bands: byId("bands").checked && !byId("bands").disabled && app.beside ? app.beside.band : null,
  };
}

function draw(steady) {
  if (app.form.shown && !app.shift) return; // where a component's points are is not known yet
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
  const [head, rest] = byId("verdict").children;
  setText(head, `${good ? "✓" : "✗"} ${word}`);
  setText(rest, sentence);
}

function showFit() {
  const { fit } = app;
  document.body.classList.remove("stale");
  showVerdict(fit.certified, fit.status.replaceAll("_", " "), fit.message);
  showNumbers();
  showWarnings();
  setText(byId("command"), fit.command);
  setText(byId("python"), fit.python);
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
      heldOut,
      current ? "" : "soft",
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
  fillList(byId("warnings"), sentences);
}

function showTools() {
  byId("undo").disabled = !app.past.length;
  byId("redo").disabled = !app.future.length;
  byId("reset").disabled = !app.edited;
  byId("add").disabled = app.data.x === null || isFixed();
}

/** Intervals are around one curve of numbers. */
function showBands() {
  const { parameters, name } = app.form.loss;
  byId("bands").disabled = Boolean(app.form.shown || String(parameters.tau).includes(";") || name === "logistic");
}

/** The components of a sum, and what is not for them. */
function showParts() {
  const names = Object.keys(app.data.components),
    select = byId("part");
  byId("part-picker").hidden = !names.length;
  select.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
  select.value = app.form.shown;
    showBands();
}

function showColumns() {
  const { choices, x, y } = app.data;
  byId("column-pickers").hidden = choices.length < 3 || Boolean(app.form.shown);
  for (const [id, value] of [
    ["column-x", x],
    ["column-y", y],
  ]) {
    byId(id).replaceChildren(...choices.map((name) => element("option", { value: name }, name)));
    byId(id).value = value;
  }
}
