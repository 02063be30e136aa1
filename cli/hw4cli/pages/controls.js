// The problem's controls: loss, and kernel, penalties and shapes of the part that is shown.

const SLIDER_STEPS = 400;
const SHARE_RANGES = { tau: [0.01, 0.99] }; // parameters that are shares; delta and epsilon are in units of y

const shortNumber = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));

/** Controls for a form in `place`. changed(form, done) is called on every move; done: not while a slider is held. */
function makeControls(place, changed) {
  let form = null,
    ranges = {},
    spread = 1,
    fitSliders = []; // functions that fit the drawn sliders to new ranges
  const catalogue = PAGE.catalogue;
  const entry = (kind, name) => catalogue[kind].find((one) => one.name === name) || { parameters: [], about: "" };
  const own = () => ownPart(form),
    named = (name) => ownName(form, name),
    rangeOf = (name) => ranges[named(name)];
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

  /** A number with a slider over `range()` (logarithmic where `log`), or without one; several: or more, as 0.1; 0.9. */
  function knob(name, value, set, range = null, log = true, several = false) {
    const field = element("input", { type: "text", inputmode: "decimal", "aria-label": name, name });
    field.value = value === undefined ? "" : shortNumber(value);
    const made = element("div", { class: "knob" }, element("span", { class: "name" }, name), field);
    let slider = null;
    const scale = (log ? d3.scaleLog() : d3.scaleLinear()).range([0, SLIDER_STEPS]).clamp(true);
    const place = () => {
      if (slider) slider.hidden = field.value.includes(";");
      if (slider && Number(field.value) > 0) {
        slider.value = scale(Number(field.value));
        slider.setAttribute("aria-valuetext", field.value);
      }
    };
    const fitSlider = () => {
      if (slider?.matches(":active")) return; // one that is held stays as it is
      scale.domain(range());
      place();
    };
    if (range) {
      fitSliders.push(fitSlider);
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
      const parts = field.value.split(several ? /[;,\s]+/ : ";").filter(Boolean),
        isWord = field.value === "auto" || field.value === "";
      const wrong = !isWord && !(parts.every((one) => Number.isFinite(Number(one))) && (several || parts.length === 1));
      field.setAttribute("aria-invalid", wrong);
      if (wrong) return;
      if (parts.length > 1) field.value = parts.map(Number).join(";");
      place();
      set(isWord || parts.length > 1 ? field.value : Number(field.value));
      change(true);
    });
    if (range) fitSlider();
    return made;
  }

  const knobs = (kind, name, parameters) =>
    entry(kind, name).parameters.map(({ name: key, default: fallback, several }) => {
      const share = SHARE_RANGES[key],
        inUnits = key === "delta" || key === "epsilon";
      return knob(
        key,
        parameters[key] ?? fallback ?? "",
        (value) => {
          parameters[key] = String(value);
        },
        share ? () => share : inUnits ? () => [spread / 1000, spread] : null,
        !share,
        several,
      );
    });

  function drawPenalty({ name }) {
    const { penalties, kernel } = own(),
      given = penalties[name],
      ridge = name === "ridge";
    const set = (on) => {
      if (on)
        penalties[name] = {
          weight: Number(Math.sqrt((rangeOf(name) || [0.03, 3]).reduce((a, b) => a * b)).toPrecision(2)),
        };
      else delete penalties[name];
    };
    const parts = given
      ? [
          knob(
            ridge ? "ridge" : `${name} weight`,
            given.weight,
            (value) => {
              given.weight = value;
            },
            () => rangeOf(name) || [0.001, 1000],
          ),
          ...knobs("regularizer", name, given),
        ]
      : [];
    if (ridge && kernel !== LINEAR) return parts;
    return [check(name, Boolean(given), set), ...(given ? [element("div", { class: "inner" }, ...parts)] : [])];
  }

  function drawShape({ name }) {
    const about = entry("constraint", name),
      shapes = form.shown && about.of_sum ? form.shapesOfSum : own().shapes,
      given = shapes[name],
      empty = about.parameters.length > 0,
      everywhere = about.everywhere && !form.shown && own().kernel !== LINEAR;
    const parts = [
      check(name.replaceAll("_", " "), Boolean(given), (on) => {
        if (on) shapes[name] = empty ? { lower: "0" } : {};
        else delete shapes[name];
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
    const focused = document.activeElement?.name,
      part = own(),
      of = form.shown ? ` of ${form.shown}` : "";
    const levels = part.kernel === LEVELS,
      ordered = part.columns.length === 1 && !levels; // then differences along x have a meaning
    if (part.kernel !== LINEAR && !part.penalties.ridge) part.penalties.ridge = { weight: 0.1 };
    const kernels = levels ? [LEVELS] : [...catalogue.kernel.map(({ name }) => name), LINEAR];
    const penalties = [...catalogue.regularizer].filter(({ name }) => name === "ridge" || ordered),
      shapes = (ofSum) => catalogue.constraint.filter((one) => Boolean(form.shown && one.of_sum) === ofSum);
    const shapeGroup = (title, ofSum) =>
      group(title, element("div", { class: "shapes" }, ...shapes(ofSum).flatMap(drawShape)));
    fitSliders = [];
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
        `Kernel${of}`,
        select("Kernel", kernels, part.kernel, (name) => {
          part.kernel = name;
          part.kernelParameters = {};
          part.gamma ??= 10;
        }),
        ...(hasGamma(part)
          ? [
              knob(
                "gamma",
                part.gamma,
                (value) => {
                  part.gamma = value;
                },
                () => rangeOf("gamma") || [1, 2500],
              ),
              ...knobs("kernel", part.kernel, part.kernelParameters),
            ]
          : []),
        form.shown
          ? null
          : check("intercept", form.intercept, (on) => {
              form.intercept = on;
            }),
      ),
      group(
        `Penalties${of}`,
        ...penalties.sort((a, b) => (b.name === "ridge") - (a.name === "ridge")).flatMap(drawPenalty),
      ),
      ...(ordered ? [shapeGroup(`Shape${of}`, false)] : []),
      ...(form.shown ? [shapeGroup("Shape of the sum", true)] : []),
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
    /** New ranges of sliders, and the spread of y. */
    setRanges(next, nextSpread) {
      [ranges, spread] = [next, nextSpread];
      for (const fit of fitSliders) fit();
    },
  };
}
