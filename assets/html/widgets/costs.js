// tbl-2-6-summary: the reader's own numbers put into the formulas of the table. Exact rationals of BigInts; a logarithm
// that is no whole number is carried to 160 bits, and what has no finite decimals is rounded and carries ≈.

const { button, controls, data, el, fa, latin, mount, status } = globalThis.report;
const found = data("costs");
const FIELDS = { // symbol: Persian name, the slider's ends and its step (for n: of the power of two)
  n: ["طول n", 5, 20, 1], d: ["بُعد d", 64, 4096, 64], g: ["گروه‌ها g", 1, 256, 1],
  r: ["سهم r", 0.01, 1, 0.01], o: ["سربار o", 0, 1, 0.01], p: ["توان p", 0.05, 1, 0.05],
};
const WHOLE = "ndg", BITS = 160n, GUARD = 400n;

const gcd = (a, b) => { while (b) [a, b] = [b, a % b]; return a < 0n ? -a : a; };
function ratio(num, den = 1n, exact = true) {
  const common = gcd(num, den) * (den < 0n ? -1n : 1n);
  return { num: num / common, den: den / common, exact };
}
const add = (a, b) => ratio(a.num * b.den + b.num * a.den, a.den * b.den, a.exact && b.exact);
const times = (a, b) => ratio(a.num * b.num, a.den * b.den, a.exact && b.exact);
const power = (a, e) => (e < 0 ? ratio(a.den ** BigInt(-e), a.num ** BigInt(-e), a.exact) : ratio(a.num ** BigInt(e), a.den ** BigInt(e), a.exact));

/** Base-2 logarithm of a whole number: exact at powers of two, else bit by bit from repeated squares. */
function log2({ num }) {
  const whole = BigInt(num.toString(2).length - 1);
  if (num === 1n << whole) return ratio(whole);
  let x = (num << GUARD) >> whole, fraction = 0n;
  for (let i = 0n; i < BITS; i++) {
    x = (x * x) >> GUARD;
    const bit = x >> (GUARD + 1n);
    x >>= bit;
    fraction = (fraction << 1n) | bit;
  }
  return ratio((whole << BITS) | fraction, 1n << BITS, false);
}

/** A rational from "0.2", "1/5" or "20%", Persian digits too; null for anything else. */
function parse(text) {
  const match = /^(\d+)(?:\.(\d+))?(?:\/(\d+))?([%٪])?$/.exec(latin(text));
  if (!match || (match[3] && !BigInt(match[3]))) return null;
  const [, whole, fraction = "", below = "1", percent] = match;
  return ratio(BigInt(whole + fraction), 10n ** BigInt(fraction.length) * BigInt(below) * (percent ? 100n : 1n));
}

/** The value of a formula (nested lists, see widgets.py) with `numbers` for its symbols. */
function value(tree, numbers) {
  if (typeof tree === "string") return numbers[tree] ?? ratio(...tree.split("/").map(BigInt));
  const [name, ...rest] = tree;
  if (name === "^") return power(value(rest[0], numbers), rest[1]);
  if (name === "log2") return log2(value(rest[0], numbers));
  return rest.map((part) => value(part, numbers)).reduce(name === "+" ? add : times);
}

/** num/den to the nearest whole number, halves to even. */
function nearest(num, den) {
  const [whole, rest] = [num / den, num % den];
  return whole + (2n * rest > den || (2n * rest === den && whole % 2n) ? 1n : 0n);
}

const point = (digits, places) => (places ? `${digits.padStart(places + 1, "0").slice(0, -places)}.${digits.padStart(places + 1, "0").slice(-places)}` : digits);

/** Exact decimals of a value that is not negative; ≈ and two of them where they never end. */
function decimals({ num, den, exact }) {
  let places = 0, rest = den;
  while (exact && rest % 10n === 0n) { rest /= 10n; places++; }
  for (const prime of [2n, 5n]) while (exact && rest % prime === 0n) { rest /= prime; places++; }
  if (!exact || rest !== 1n) return `≈ ${fa(point(nearest(num * 100n, den).toString(), 2))}`;
  const text = point((num * 10n ** BigInt(places) / den).toString(), places);
  return fa(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
}

/** Mantissa with two decimals and exponent: ["8.59", 9]. */
function scientific({ num, den }) {
  if (!num) return ["0", 0];
  let exponent = num.toString().length - den.toString().length;
  const scaled = (e) => (e > 2 ? nearest(num, den * 10n ** BigInt(e - 2)) : nearest(num * 10n ** BigInt(2 - e), den));
  if (num * (exponent < 0 ? 10n ** BigInt(-exponent) : 1n) < den * (exponent > 0 ? 10n ** BigInt(exponent) : 1n)) exponent--;
  if (scaled(exponent) >= 1000n) exponent++;
  return [point(scaled(exponent).toString(), 2), exponent];
}

function start({ setting, steps }) {
  const standard = Object.fromEntries(Object.entries(setting).map(([name, text]) => [name, parse(text)]));
  const rows = [...document.querySelectorAll("#tbl-2-6-summary tbody tr")].map((row) => [...row.cells]);
  if (rows.length !== steps.length) return;
  const before = rows.map((cells) => cells.map((cell) => cell.innerHTML));
  const said = status();
  const parts = {};

  const percent = (number) => { const text = decimals(times(number, ratio(100n))); return `${text.replace("≈ ", "")}٪`; };
  const words = (numbers) => ({ r: percent(numbers.r), o: percent(numbers.o), p: percent(numbers.p), g: `${decimals(numbers.g)} گروه` });

  function label(text, numbers) { // «۲۰٪ دنباله»: the numbers in the names of the rows change with the reader's
    const [old, now] = [words(standard), words(numbers)];
    return text.replace(new RegExp(Object.values(old).join("|"), "g"), (match) => now[Object.keys(old).find((name) => old[name] === match)]);
  }

  function read() {
    const numbers = Object.fromEntries(Object.entries(parts).map(([name, { text }]) => [name, parse(text.value)]));
    const wrong = Object.keys(numbers).filter((name) => {
      const number = numbers[name];
      const bad = !number || (WHOLE.includes(name) ? number.den !== 1n || number.num < (name === "n" ? 2n : 1n) || number.num > 10n ** 9n
        : number.num > number.den || (name === "p" && !number.num));
      parts[name].text.setAttribute("aria-invalid", String(bad));
      return bad;
    });
    if (!wrong.length) return write(numbers);
    const wanted = WHOLE.includes(wrong[0]) ? "عددی درست از ۱ (برای n از ۲) تا یک میلیارد" : "عددی از صفر تا یک، مانند ۰٫۲ یا ۱/۵";
    said.textContent = `${FIELDS[wrong[0]][0]}: ${wanted} بنویسید.`;
  }

  function write(numbers) {
    const same = Object.keys(standard).every((name) => standard[name].num === numbers[name].num && standard[name].den === numbers[name].den);
    rows.forEach((cells, index) => {
      if (same) return cells.forEach((cell, at) => { cell.innerHTML = before[index][at]; });
      const result = value(steps[index][1], numbers), [mantissa, exponent] = scientific(result);
      cells[1].textContent = label(new DOMParser().parseFromString(before[index][1], "text/html").body.textContent, numbers);
      cells[3].textContent = decimals(result);
      const raised = el("sup", {}, (exponent < 0 ? "−" : "") + fa(Math.abs(exponent)));
      cells[4].replaceChildren(...(result.num ? [`\u2066${fa(mantissa)}×۱۰`, raised, "\u2069"] : ["۰"]));
    });
    rows[0][0].closest("table").classList.toggle("changed", !same);
    said.textContent = same ? "عددهای سؤال." : "جدول با عددهای شما حساب شد؛ پاسخ سؤال نیست.";
  }

  for (const [name, [title, low, high, step]] of Object.entries(FIELDS)) {
    const position = (number) => (name === "n" ? Math.log2(Number(number.num)) : Number(number.num) / Number(number.den));
    const text = el("input", { type: "text", inputmode: "decimal", dir: "ltr", value: decimals(standard[name]), "aria-label": title, autocomplete: "off",
      input: () => { const number = parse(text.value); if (number) slider.value = position(number); read(); } });
    const slider = el("input", { type: "range", min: low, max: high, step, value: position(standard[name]), "aria-label": `لغزندهٔ ${title}`,
      input: () => { text.value = name === "n" ? fa(2 ** slider.value) : fa(Number(slider.value)); slider.setAttribute("aria-valuetext", text.value); read(); } });
    slider.setAttribute("aria-valuetext", text.value);
    parts[name] = { text, slider, position };
  }
  const reset = () => {
    for (const [name, { text, slider, position }] of Object.entries(parts)) {
      text.value = decimals(standard[name]);
      text.setAttribute("aria-invalid", "false");
      slider.value = position(standard[name]);
    }
    write(standard);
  };
  write(standard);
  addEventListener("beforeprint", reset);
  const fields = Object.entries(parts).map(([name, { text, slider }]) => el("div", { class: "field" }, el("span", { "aria-hidden": "true" }, FIELDS[name][0]), text, slider));
  mount("tbl-2-6-summary", "جدول با عددهای شما", [el("div", { class: "fields" }, ...fields), controls(button("عددهای سؤال", reset)), said], { above: true });
}

if (found) {
  Object.assign(globalThis.report, { costs: { value, parse, decimals, scientific, ratio } }); // for the tests
  start(found);
}
