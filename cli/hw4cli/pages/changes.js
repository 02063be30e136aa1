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
