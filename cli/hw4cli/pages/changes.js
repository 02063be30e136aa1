// What a user changes of the explorer's data and settings, and undoing it.

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
  showPart(app.form.shown);
  controls.show(app.form);
  showTools();
  draw(false);
  ask();
}
const undo = () => go(app.past, app.future),
  redo = () => go(app.future, app.past);

function changed(form, done) {
  showBands();
  if (done) commit();
  ask(true);
}

function goTo(hyperparameters) {
  app.form = withHyperparameters(app.form, hyperparameters);
  controls.show(app.form);
  changed(app.form, true);
}

/** Rows are added or removed: act is called with every array that has a value per row, and its column's name. */
function editRows(act) {
  for (const [name, column] of Object.entries(app.data.columns)) act(column, name);
  if (app.shift) act(app.shift, null);
  Object.assign(app, { edited: true, dataDirty: true, view: null });
  commit();
  ask(true);
}

const labels = () => (app.form.loss.name === "logistic" ? d3.extent(app.original.columns[app.original.y]) : null);

/** Whether points cannot be moved: partial residuals of labels and counts are not their targets but for a shift. */
const isFixed = () => app.form.shown && PAGE.catalogue.loss.find(({ name }) => name === app.form.loss.name).likelihood;

/** A target as the loss takes it: a whole count, one of two labels, or any number. */
function target(value) {
  const two = labels();
  if (two) return value > 0.5 ? two[1] : two[0];
  return app.form.loss.name === "poisson" ? Math.max(0, Math.round(value)) : rounded(value);
}
const rounded = (value) => Number(value.toPrecision(6));

/** The row whose value is nearest to x. */
const nearestTo = (xs, x) =>
  xs.reduce((best, value, row) => (Math.abs(value - x) < Math.abs(xs[best] - x) ? row : best), 0);

const editing = {
  move(row, x, y, done) {
    if (x === null) {
      commit();
      draw(false);
      return;
    }
    if (isFixed()) return;
    const { columns, x: across, y: up } = app.data;
    if (across !== null) columns[across][row] = rounded(x);
    columns[up][row] = target(y - (app.shift ? app.shift[row] : 0));
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
    if (isFixed() || app.data.x === null) return;
    const { data } = app,
      xs = data.columns[data.x];
    const near = nearestTo(xs, x);
    const own = { [data.x]: rounded(x), [data.y]: target(y - (app.shift ? app.shift[near] : 0)) };
    if (data.weights) own[data.weights] = 1;
    editRows((column, name) => column.push(own[name] ?? column[near]));
    draw(false);
    figure.focusPoint(xs.length - 1);
  },
  remove(row) {
    const rows = app.data.columns[app.data.y].length;
    if (rows < 3) return;
    if (app.across) app.across.splice(row, 1);
    editRows((column) => column.splice(row, 1));
    draw(false);
    figure.focusPoint(Math.min(row, rows - 2));
  },
};
let keepFocus = null;
