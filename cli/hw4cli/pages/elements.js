// Elements, numbers and files: what every page uses.

const PAGE = JSON.parse(document.getElementById("page-data").textContent);

/** An element with properties (on… are listeners, others attributes) and children. */
function element(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const byId = (id) => document.getElementById(id);

/** A number as text of so many digits, – for null; true minus signs. */
function numberText(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text =
    size !== 0 && (size < 1e-3 || size >= 1e6)
      ? value.toExponential(Math.max(digits - 3, 1)).replace("e+", "e")
      : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

/** What a way of holding rows out is called. */
const methodText = (method) =>
  method.startsWith("kfold:")
    ? `${method.slice(6)}-fold`
    : { loo: "leave-one-out", "loo:x": "leave-x-out" }[method] || method;

/** Set a text where it differs: what is set again is laid out again. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Texts as the lines of a list. */
function fillList(list, texts) {
  if (list.children.length !== texts.length) list.replaceChildren(...texts.map(() => element("li")));
  texts.forEach((text, k) => setText(list.children[k], text));
}

/** Rows [name, text, class of the text] of a table of two columns. */
function fillRows(table, rows) {
  if (table.rows.length !== rows.length)
    table.replaceChildren(
      ...rows.map(() => element("tr", {}, element("th", { scope: "row" }), element("td", {}, element("span")))),
    );
  rows.forEach(([name, text, kind = ""], k) => {
    const [head, cell] = table.rows[k].cells;
    setText(head, name);
    setText(cell.firstChild, text);
    if (cell.firstChild.className !== kind) cell.firstChild.className = kind;
  });
}

function download(name, content, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** CSV text of columns (name → values), numbers as they are. */
function csvText(columns) {
  const quoted = (name) => (/[",\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
  const names = Object.keys(columns);
  const lines = columns[names[0]].map((_, row) => names.map((name) => columns[name][row] ?? "").join(","));
  return [names.map(quoted).join(","), ...lines].join("\n") + "\n";
}

async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => {
    button.textContent = before;
  }, 1200);
}

/** A figure as the text of an SVG file, its colors and styles inside. */
function svgText(svg) {
  const copy = svg.cloneNode(true);
  const { width, height } = svg.viewBox.baseVal;
  const style = getComputedStyle(document.documentElement);
  const css = byId("figure-style").textContent.replace(/var\((--[a-z0-9-]+)\)/g, (_, name) =>
    style.getPropertyValue(name).trim(),
  );
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.querySelectorAll("[tabindex]").forEach((one) => one.removeAttribute("tabindex"));
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  ground.setAttribute("width", width);
  ground.setAttribute("height", height);
  ground.setAttribute("fill", style.getPropertyValue("--card").trim());
  const sheet = document.createElementNS("http://www.w3.org/2000/svg", "style");
  sheet.textContent = css;
  copy.prepend(sheet, ground);
  return new XMLSerializer().serializeToString(copy);
}

function downloadSvg(svg, name) {
  download(`${name}.svg`, svgText(svg), "image/svg+xml");
}

async function downloadPng(svg, name) {
  const { width, height } = svg.viewBox.baseVal;
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = element("canvas", { width: 2 * width, height: 2 * height });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * width, 2 * height);
  canvas.toBlob((blob) => download(`${name}.png`, blob, "image/png"));
}

/** A button that goes through the themes; auto is that of the system. */
function startTheme(button) {
  const themes = ["auto", "light", "dark"],
    system = matchMedia("(prefers-color-scheme: dark)");
  let theme = 0;
  const show = () => {
    document.documentElement.dataset.theme = theme ? themes[theme] : system.matches ? "dark" : "light";
    button.textContent = `Theme: ${themes[theme]}`;
  };
  button.addEventListener("click", () => {
    theme = (theme + 1) % 3;
    show();
  });
  system.addEventListener("change", show);
  show();
}
