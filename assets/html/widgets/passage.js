// fig-passage: the passage as text. Pointing at a word, touching it or going to it by keyboard shows the loss of each of
// its tokens under every model. One tab stop: the arrow keys go from word to word.

const { data, el, fa, mount } = globalThis.report;
const found = data("passage");
const NAMES = { ngram: "کنسر–نی", rnn: "شبکهٔ بازگشتی", transformer: "ترنسفورمر" };

const sum = (losses) => losses.reduce((total, loss) => total + loss, 0);
/** White for no loss, black from `top` on, as in the static figure. */
const shade = (loss, top) => `hsl(0 0% ${Math.round(100 * (1 - Math.min(1, loss / top)))}%)`;

function start({ words, models, top }) {
  const names = models.map((name) => NAMES[name] ?? name);
  const highest = Math.max(...words.flatMap((word) => word.losses.flat()));
  const detail = el("div", { class: "passage-detail", "aria-live": "polite" });
  let current = 0;

  function cell(loss) {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.inlineSize = `${(3 * loss / highest).toFixed(2)}em`;
    return el("td", {}, bar, fa(loss.toFixed(2)));
  }

  function show(index) {
    keys[current].tabIndex = -1;
    keys[current].setAttribute("aria-pressed", "false");
    current = index;
    keys[current].tabIndex = 0;
    keys[current].setAttribute("aria-pressed", "true");
    const { text, pieces, losses } = words[index];
    const rows = pieces.map((piece, at) => el("tr", {}, el("th", { scope: "row" }, piece || "¶"), ...losses.map((row) => cell(row[at]))));
    if (pieces.length > 1) rows.push(el("tr", { class: "total" }, el("th", { scope: "row" }, "همهٔ واژه"), ...losses.map((row) => cell(sum(row)))));
    const head = el("tr", {}, el("th", { scope: "col" }, "توکن"), ...names.map((name) => el("th", { scope: "col" }, name)));
    detail.replaceChildren(el("table", {}, el("caption", {}, `زیان (نات) توکن‌های «${text || "¶"}»`), el("thead", {}, head), el("tbody", {}, ...rows)));
  }

  const keys = words.map(({ text, losses }, index) => el("button", {
    type: "button", class: "word", tabindex: -1, "aria-pressed": "false", mouseenter: () => show(index), focus: () => show(index), click: () => show(index),
  }, el("span", {}, text || "¶"), ...losses.map((row) => {
    const bar = el("span", { class: "shade", "aria-hidden": "true" });
    bar.style.background = shade(sum(row), top);
    return bar;
  })));

  const text = el("div", {
    class: "passage", role: "group", "aria-label": "واژه‌های متن؛ با کلیدهای جهت از واژه‌ای به واژهٔ دیگر بروید",
    keydown: (event) => {
      const step = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      keys[Math.max(0, Math.min(keys.length - 1, current + step))].focus();
    },
  }, ...keys);
  show(0);
  mount("fig-passage", "زیان هر توکن", [
    el("p", { class: "widget-help" }, `زیر هر واژه، از بالا: ${names.join("، ")}. سفید صفر است و سیاه ${fa(Math.round(top))} نات یا بیشتر. واژه‌ای را برگزینید تا زیان توکن‌هایش را ببینید.`),
    text, detail,
  ], { instead: true });
}

if (found) start(found);
