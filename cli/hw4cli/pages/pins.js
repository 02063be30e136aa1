// Pinned fits: drawn beside the fit, compared in a table, and gone back to.

function pin() {
  if (!app.fit || !app.view) return;
  const { fit, view, beside, form } = app,
    free = [0, 1, 2, 3].filter((color) => !app.pins.some((one) => one.color === color));
  if (!free.length) app.pins.shift();
  const color = free[0] ?? [0, 1, 2, 3].find((one) => !app.pins.some((other) => other.color === one));
  const { penalties, shapes } = ownPart(form);
  const extra = Object.keys(penalties)
    .filter((name) => name !== "ridge")
    .concat(Object.keys(shapes));
  const name = [settingsOf(form).loss, ...extra].join(" + ").replaceAll("_", " ");
  app.pins.push({
    name,
    color,
    x: view.curve_x,
    y: view.curve,
    fit,
    heldOut: beside && beside.id === fit.id ? beside.held_out : null,
    form: structuredClone(form),
    columns: structuredClone(app.data.columns),
  });
  showPins();
  draw(false);
}

function showPins() {
  byId("pins-box").hidden = !app.pins.length;
  const head = element(
    "tr",
    {},
    ...["fit", "hyper-parameters", "objective", "held-out", ""].map((name) => element("th", { scope: "col" }, name)),
  );
  byId("pins").replaceChildren(
    head,
    ...app.pins.map((one, place) =>
      element(
        "tr",
        {},
        element(
          "td",
          {},
          element("span", { class: "swatch", style: `border-color: var(--pin-${one.color})` }),
          one.name,
        ),
        element(
          "td",
          {},
          Object.entries(one.fit.hyperparameters)
            .map(([name, value]) => `${name} ${numberText(value, 3)}`)
            .join(", "),
        ),
        element("td", {}, numberText(one.fit.objective, 6)),
        element("td", {}, numberText(one.heldOut)),
        element(
          "td",
          {},
          element(
            "button",
            {
              type: "button",
              class: "link",
              "aria-label": `Go back to ${one.name}`,
              onclick: () => {
                app.form = structuredClone(one.form);
                Object.assign(app.data.columns, structuredClone(one.columns));
                app.dataDirty = true;
                showPart(app.form.shown);
                controls.show(app.form);
                changed(app.form, true);
                draw(false);
              },
            },
            "Go back",
          ),
          element(
            "button",
            {
              type: "button",
              class: "link",
              "aria-label": `Unpin ${one.name}`,
              onclick: () => {
                app.pins.splice(place, 1);
                showPins();
                draw(false);
              },
            },
            "Unpin",
          ),
        ),
      ),
    ),
  );
}
