// The problem's controls. Their values are the words of the command line: huber:delta=1, tv=0.3, increasing.

const LINEAR = "(straight line)"; // in place of a kernel
const SLIDER_STEPS = 400;
const SHARE_RANGES = { tau: [0.01, 0.99] }; // parameters that are shares; delta and epsilon are in units of y

/** "huber:delta=1" as {name, parameters}; "tv=0.3" has the parameter weight, and "convex:everywhere" a true one. */
function parseWord(word) {
  const [head, ...rest] = word.split(":"),
    [name, weight] = head.split("=");
  const pairs = rest
    .join(":")
    .split(",")
    .filter(Boolean)
    .map((pair) => pair.split("="))
    .map(([key, value]) => [key, value ?? true]);
  return { name, parameters: Object.fromEntries([...(weight === undefined ? [] : [["weight", weight]]), ...pairs]) };
}

function wordOf({ name, parameters }) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null);
  return given.length
    ? `${name}:${given.map(([key, value]) => (value === true ? key : `${key}=${value}`)).join(",")}`
    : name;
}

/** What the controls hold, from settings: the options of a command. */
function formOf(settings) {
  const terms = (words) => Object.fromEntries(words.map(parseWord).map((one) => [one.name, one.parameters]));
  const { name, parameters } = parseWord(settings.kernel || "rbf");
  return {
    kernel: settings.design === "linear" ? LINEAR : name,
    kernelParameters: parameters,
    gamma: settings.gamma,
    loss: parseWord(settings.loss),
    penalties: terms(settings.reg),
    shapes: terms(settings.constraint),
    intercept: settings.intercept,
    scale: settings.scale,
  };
}

function settingsOf(form) {
  const linear = form.kernel === LINEAR;
  const kernel = wordOf({ name: form.kernel, parameters: form.kernelParameters });
  return {
    design: linear ? "linear" : "kernel",
    kernel: linear || kernel === "rbf" ? null : kernel,
    gamma: linear ? null : form.gamma,
    loss: wordOf(form.loss),
    reg: Object.entries(form.penalties).map(([name, { weight, ...parameters }]) =>
      Object.keys(parameters).length ? wordOf({ name, parameters: { ...parameters, weight } }) : `${name}=${weight}`,
    ),
    constraint: Object.entries(form.shapes).map(([name, parameters]) => wordOf({ name, parameters })),
    intercept: form.intercept,
    scale: form.scale,
  };
}

/** The form with these hyper-parameters, as a search names them: gamma, ridge, tv, huber.delta. */
function withHyperparameters(form, values) {
  const next = structuredClone(form);
  for (const [name, value] of Object.entries(values)) {
    const [owner, parameter] = name.split(".");
    if (name === "gamma") next.gamma = value;
    else if (parameter && owner === next.loss.name) next.loss.parameters[parameter] = String(value);
    else if (parameter && owner === next.kernel) next.kernelParameters[parameter] = String(value);
    else if (next.penalties[owner]) next.penalties[owner][parameter || "weight"] = value;
  }
  return next;
}

const shortNumber = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));

/** Controls for a form in `place`. changed(form, done) is called on every move; done: not while a slider is held. */
function makeControls(place, changed) {
  let form = null,
    ranges = {},
    spread = 1;
  const catalogue = PAGE.catalogue;
  const entry = (kind, name) => catalogue[kind].find((one) => one.name === name) || { parameters: [], about: "" };
  const change = (done, again = false) => {
    changed(form, done);
    if (again) draw();
  };

  function group(title, ...children) {
    return element("fieldset", {}, element("legend", {}, title), ...children);
  }

  function select(label, names, value, set) {
    const made = element(
      "select",
      {
        class: "wide",
        "aria-label": label,
        onchange: () => {
          set(made.value);
          change(true, true);
        },
      },
      ...names.map((name) => element("option", { value: name }, name.replaceAll("_", " "))),
    );
    made.value = value;
    return made;
  }

  function check(name, on, set) {
    const box = element("input", {
      type: "checkbox",
      onchange: () => {
        set(box.checked);
        change(true, true);
      },
      name,
    });
    box.checked = on;
    return element("label", { class: "check" }, box, name);
  }

  /** A number with a slider over `range` (logarithmic where `log`), or without one. */
  function knob(name, value, set, range = null, log = true) {
    const field = element("input", { type: "text", inputmode: "decimal", "aria-label": name, name });
    field.value = value === undefined ? "" : shortNumber(value);
    const made = element("div", { class: "knob" }, element("span", { class: "name" }, name), field);
    let slider = null;
    const scale =
      range && (log ? d3.scaleLog(range, [0, SLIDER_STEPS]) : d3.scaleLinear(range, [0, SLIDER_STEPS])).clamp(true);
    const place = () => {
      if (slider && Number(field.value) > 0) {
        slider.value = scale(Number(field.value));
        slider.setAttribute("aria-valuetext", field.value);
      }
    };
    if (range) {
      slider = element("input", {
        type: "range",
        min: 0,
        max: SLIDER_STEPS,
        step: 1,
        "aria-label": `${name}, slider`,
        name: `${name}-slider`,
      });
      const slid = (done) => {
        field.value = Number(scale.invert(Number(slider.value)).toPrecision(3));
        slider.setAttribute("aria-valuetext", field.value);
        field.removeAttribute("aria-invalid");
        set(Number(field.value));
        change(done);
      };
      slider.addEventListener("input", () => slid(false));
      slider.addEventListener("change", () => slid(true));
      made.append(slider);
    }
    field.addEventListener("change", () => {
      const wrong = field.value.trim() !== "" && field.value !== "auto" && !Number.isFinite(Number(field.value));
      field.setAttribute("aria-invalid", wrong);
      if (wrong) return;
      place();
      set(field.value === "auto" || field.value === "" ? field.value : Number(field.value));
      change(true);
    });
    place();
    return made;
  }

  const knobs = (kind, name, parameters) =>
    entry(kind, name).parameters.map(({ name: key, default: fallback }) => {
      const share = SHARE_RANGES[key],
        inUnits = key === "delta" || key === "epsilon";
      return knob(
        key,
        parameters[key] ?? fallback ?? "",
        (value) => {
          parameters[key] = String(value);
        },
        share || (inUnits ? [spread / 1000, spread] : null),
        !share,
      );
    });

  function drawPenalty({ name }) {
    const given = form.penalties[name],
      ridge = name === "ridge";
    const set = (on) => {
      if (on)
        form.penalties[name] = {
          weight: Number(Math.sqrt((ranges[name] || [0.03, 3]).reduce((a, b) => a * b)).toPrecision(2)),
        };
      else delete form.penalties[name];
    };
    const parts = given
      ? [
          knob(
            ridge ? "ridge" : `${name} weight`,
            given.weight,
            (value) => {
              given.weight = value;
            },
            ranges[name] || [0.001, 1000],
          ),
          ...knobs("regularizer", name, given),
        ]
      : [];
    if (ridge && form.kernel !== LINEAR) return parts;
    return [check(name, Boolean(given), set), ...(given ? [element("div", { class: "inner" }, ...parts)] : [])];
  }

  function drawShape({ name }) {
    const given = form.shapes[name],
      empty = entry("constraint", name).parameters.length > 0,
      everywhere = entry("constraint", name).everywhere && form.kernel !== LINEAR;
    const parts = [
      check(name.replaceAll("_", " "), Boolean(given), (on) => {
        if (on) form.shapes[name] = empty ? { lower: "0" } : {};
        else delete form.shapes[name];
      }),
    ];
    if (!given || !(empty || everywhere)) return parts;
    const range = typeof given.everywhere === "string" ? ` of ${given.everywhere.replace("..", " … ")}` : "";
    const box = check(`${name} everywhere`, Boolean(given.everywhere), (on) => {
      if (on) given.everywhere = true;
      else delete given.everywhere;
    });
    box.lastChild.textContent = `at every x${range}`;
    const inner = [...(empty ? knobs("constraint", name, given) : []), ...(everywhere ? [box] : [])];
    return [...parts, element("div", { class: "inner" }, ...inner)];
  }

  function draw() {
    const focused = document.activeElement?.name;
    const linear = form.kernel === LINEAR;
    if (!linear && !form.penalties.ridge) form.penalties.ridge = { weight: 0.1 };
    const kernels = [...catalogue.kernel.map(({ name }) => name), LINEAR];
    place.replaceChildren(
      group(
        "Loss",
        select(
          "Loss",
          catalogue.loss.map(({ name }) => name),
          form.loss.name,
          (name) => {
            form.loss = { name, parameters: {} };
          },
        ),
        element("p", { class: "about" }, entry("loss", form.loss.name).about),
        ...knobs("loss", form.loss.name, form.loss.parameters),
      ),
      group(
        "Kernel",
        select("Kernel", kernels, form.kernel, (name) => {
          form.kernel = name;
          form.kernelParameters = {};
          form.gamma ??= 10;
        }),
        ...(linear
          ? []
          : [
              knob(
                "gamma",
                form.gamma,
                (value) => {
                  form.gamma = value;
                },
                ranges.gamma || [1, 2500],
              ),
              ...knobs("kernel", form.kernel, form.kernelParameters),
            ]),
        check("intercept", form.intercept, (on) => {
          form.intercept = on;
        }),
      ),
      group(
        "Penalties",
        ...[...catalogue.regularizer].sort((a, b) => (b.name === "ridge") - (a.name === "ridge")).flatMap(drawPenalty),
      ),
      group("Shape", element("div", { class: "shapes" }, ...catalogue.constraint.flatMap(drawShape))),
    );
    if (focused) place.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
  }

  place.addEventListener("submit", (event) => event.preventDefault());
  return {
    /** Show a form; it is changed in place. */
    show(next) {
      form = next;
      draw();
    },
    /** New ranges of sliders, and the spread of y; a slider that is held stays as it is. */
    setRanges(next, nextSpread) {
      const same = JSON.stringify([next, nextSpread]) === JSON.stringify([ranges, spread]);
      if (same || (document.activeElement?.type === "range" && document.activeElement.matches(":active"))) return;
      [ranges, spread] = [next, nextSpread];
      if (form) draw();
    },
  };
}
