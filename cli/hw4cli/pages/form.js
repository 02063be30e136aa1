// What the controls hold, and the words of the command line for it: huber:delta=1, tv=0.3, depth.increasing.

const LINEAR = "(straight line)"; // in place of a kernel
const LEVELS = "categorical";

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

const termsOf = (words) => Object.fromEntries(words.map(parseWord).map((one) => [one.name, one.parameters]));

/** The words that begin with a component's name, without it; of the name "" those without any. */
const ownWords = (words, name) =>
  name
    ? words.filter((word) => word.startsWith(`${name}.`)).map((word) => word.slice(name.length + 1))
    : words.filter((word) => !/^[^:=]*\./.test(word));

/** One curve, from settings; `word` is that of a component: depth=depth:rbf. */
function partOf(settings, word) {
  const [, name = "", columns = "", space = null] = word.match(/^(.*?)=(.*?)(?::(.*))?$/) ?? [];
  const { name: kernel, parameters } = parseWord((word ? space : settings.kernel) || "rbf");
  const linear = word ? space === "linear" : settings.design === "linear";
  const part = {
    columns: columns.split(","),
    kernel: linear ? LINEAR : kernel,
    kernelParameters: parameters,
    gamma: word ? settings.gamma?.[name] : settings.gamma,
    penalties: termsOf(ownWords(settings.reg, name)),
    shapes: termsOf(ownWords(settings.constraint, name)),
  };
  return [name, part];
}

/** A form, from settings: the options of a command. It has one part of the name "", or one per component of a sum. */
function formOf(settings) {
  const words = settings.component.length ? settings.component : [""],
    parts = Object.fromEntries(words.map((word) => partOf(settings, word)));
  return {
    parts,
    shown: Object.keys(parts)[0],
    shapesOfSum: settings.component.length ? termsOf(ownWords(settings.constraint, "")) : {},
    loss: parseWord(settings.loss),
    intercept: settings.intercept,
    scale: settings.scale,
  };
}

/** The part that is shown. */
const ownPart = (form) => form.parts[form.shown];

/** The name of a hyper-parameter of the shown part. */
const ownName = (form, name) => (form.shown ? `${form.shown}.${name}` : name);

const hasGamma = ({ kernel }) => kernel !== LINEAR && kernel !== LEVELS;

const penaltyWords = (penalties) =>
  Object.entries(penalties).map(([name, { weight, ...parameters }]) =>
    Object.keys(parameters).length ? wordOf({ name, parameters: { ...parameters, weight } }) : `${name}=${weight}`,
  );

const shapeWords = (shapes) => Object.entries(shapes).map(([name, parameters]) => wordOf({ name, parameters }));

function settingsOf(form) {
  const common = { loss: wordOf(form.loss), intercept: form.intercept, scale: form.scale };
  const spaceOf = ({ kernel, kernelParameters }) =>
    kernel === LINEAR ? "linear" : wordOf({ name: kernel, parameters: kernelParameters });
  const single = form.parts[""];
  if (single) {
    const linear = single.kernel === LINEAR,
      kernel = spaceOf(single);
    return {
      ...common,
      design: linear ? "linear" : "kernel",
      kernel: linear || kernel === "rbf" ? null : kernel,
      gamma: linear ? null : single.gamma,
      reg: penaltyWords(single.penalties),
      constraint: shapeWords(single.shapes),
      component: [],
    };
  }
  const parts = Object.entries(form.parts),
    dotted = (words) => parts.flatMap(([name, part]) => words(part).map((word) => `${name}.${word}`));
  const gammas = parts.filter(([, part]) => hasGamma(part)).map(([name, { gamma }]) => [name, gamma]);
  return {
    ...common,
    design: "kernel",
    kernel: null,
    gamma: gammas.length ? Object.fromEntries(gammas) : null,
    reg: dotted(({ penalties }) => penaltyWords(penalties)),
    constraint: [...shapeWords(form.shapesOfSum), ...dotted(({ shapes }) => shapeWords(shapes))],
    component: parts.map(([name, part]) => `${name}=${part.columns.join(",")}:${spaceOf(part)}`),
  };
}

/** The form with these hyper-parameters, as a search names them: gamma, ridge, tv, huber.delta, depth.tv. */
function withHyperparameters(form, values) {
  const next = structuredClone(form);
  for (const [name, value] of Object.entries(values)) {
    const words = name.split("."),
      part = next.parts[form.parts[words[0]] ? words.shift() : ""],
      [owner, parameter] = words;
    if (parameter && owner === next.loss.name) next.loss.parameters[parameter] = String(value);
    else if (!part) continue;
    else if (owner === "gamma") part.gamma = value;
    else if (parameter && owner === part.kernel) part.kernelParameters[parameter] = String(value);
    else if (part.penalties[owner]) part.penalties[owner][parameter || "weight"] = value;
  }
  return next;
}
