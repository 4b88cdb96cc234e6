// What the scripts of the page share, as one global object: Persian digits, elements, the data blocks of `widgets.py`.

const DIGITS = "۰۱۲۳۴۵۶۷۸۹";

/** Persian digits, ٬ between thousands and ٫ before decimals, for a number or the text of one. */
function fa(value) {
  const [whole, fraction] = String(value).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "٬");
  return (fraction === undefined ? grouped : `${grouped}٫${fraction}`).replace(/\d/g, (digit) => DIGITS[digit]);
}

/** Latin digits and point for what a Persian reader types. */
function latin(text) {
  return text.replace(/[۰-۹]/g, (digit) => DIGITS.indexOf(digit)).replace(/[٠-٩]/g, (digit) => digit.charCodeAt(0) - 0x660)
    .replace(/٫/g, ".").replace(/[٬,\s\u2066-\u2069]/g, "");
}

/** An element with attributes (functions become listeners) and children. */
function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** The JSON of the block `data-NAME`, or null where the document has none. */
function data(name) {
  const block = document.getElementById(`data-${name}`);
  return block && JSON.parse(block.textContent);
}

const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** Packed bits (the first pixel is the highest bit of the first byte) as zeros and ones. */
function bits(base64) {
  const packed = bytes(base64);
  return Uint8Array.from({ length: packed.length * 8 }, (_, i) => (packed[i >> 3] >> (7 - (i & 7))) & 1);
}

/** Put a widget under the figure or table `id`, `above` it, or in its place: then the static one is for paper only. Gives what
    the static one stands in. */
function mount(id, label, children, { above = false, instead = false } = {}) {
  const host = document.getElementById(id)?.querySelector("figure > div");
  if (!host) return null;
  host.classList.toggle("only-on-paper", instead);
  host[above ? "before" : "after"](el("div", { class: "widget", role: "group", "aria-label": label }, ...children));
  return host;
}

/** A slider with its name and value: [element, () => value]. */
function slider(name, { min, max, step, value, words = fa }) {
  const shown = el("output", {}, words(value));
  const input = el("input", { type: "range", min, max, step, value, "aria-label": name, "aria-valuetext": words(value),
    input: () => { shown.textContent = words(input.value); input.setAttribute("aria-valuetext", shown.textContent); } });
  return [el("label", { class: "slider" }, `${name} `, shown, input), () => Number(input.value), input];
}

/** A row of controls. */
const controls = (...children) => el("div", { class: "widget-controls" }, ...children);
const button = (label, click) => el("button", { type: "button", click }, label);
const status = () => el("p", { class: "widget-status", role: "status" });

globalThis.report = { fa, latin, el, data, bytes, bits, mount, controls, slider, button, status };
