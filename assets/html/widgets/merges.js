// fig-trace: type a word and go through its merges, one at a time. The same tokenizer as the report's (byte-level BPE):
// its merges and its pattern come in the page, and the steps are those of `BPE.trace` in code/genmodels/text/bpe.py. As in
// the figure, the word has a space before it.

const { button, bytes, controls, data, el, fa, mount, status } = globalThis.report;
const found = data("merges");

/** A tokenizer from the page's data: `steps(text)` lists {pieces: [[id, …], …], rank, merged}, the bytes first. */
function tokenizer({ pairs, bytes: order, first, pattern }) {
  const ids = new Uint16Array(bytes(pairs).buffer), letters = bytes(order);
  const idOf = new Map([...letters].map((byte, index) => [byte, first + index]));
  const ranks = new Map(); // left · 65536 + right → rank
  const symbols = new Map([...letters].map((byte, index) => [first + index, [byte]]));
  for (let rank = 0; rank < ids.length / 2; rank++) {
    const [left, right] = [ids[2 * rank], ids[2 * rank + 1]];
    ranks.set(left * 65536 + right, rank);
    symbols.set(first + 256 + rank, [...symbols.get(left), ...symbols.get(right)]);
  }
  const cut = new RegExp(pattern, "gu");

  /** The sequence after the merge learnt first of those that it holds, or null. */
  function merge(sequence) {
    let best = Infinity;
    for (let i = 1; i < sequence.length; i++) best = Math.min(best, ranks.get(sequence[i - 1] * 65536 + sequence[i]) ?? Infinity);
    if (best === Infinity) return null;
    const merged = first + 256 + best, next = [];
    for (let i = 0; i < sequence.length; i++) {
      const here = i + 1 < sequence.length && ranks.get(sequence[i] * 65536 + sequence[i + 1]) === best;
      next.push(here ? merged : sequence[i]);
      if (here) i++;
    }
    return { sequence: next, rank: best + 1, merged };
  }

  function steps(text) {
    const pieces = (text.match(cut) ?? []).map((piece) => [...new TextEncoder().encode(piece)].map((byte) => idOf.get(byte)));
    const list = [{ pieces, rank: null, merged: null }];
    for (let index = 0; index < pieces.length; index++) {
      for (let found = merge(pieces[index]); found; found = merge(list.at(-1).pieces[index])) {
        list.push({ pieces: list.at(-1).pieces.with(index, found.sequence), rank: found.rank, merged: found.merged });
      }
    }
    return list;
  }

  /** As in the report: a space is _, a half-space -, and bytes that are no whole character hexadecimal. */
  function show(id) {
    const raw = Uint8Array.from(symbols.get(id) ?? []);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw).replaceAll(" ", "_").replaceAll("\u200c", "-");
    } catch {
      return [...raw].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(" ");
    }
  }

  const encode = (text) => steps(text).at(-1).pieces.flat();
  /** The text of ids; what is no whole character becomes U+FFFD, and special ids vanish, as in `text/tokenizer.py`. */
  const decode = (list) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(list.flatMap((id) => symbols.get(id) ?? [])));

  return { steps, show, encode, decode };
}

function start(content) {
  const { steps, show } = tokenizer(content);
  let list = [], at = 0;
  const said = status();
  const chips = el("p", { class: "chips" });
  const input = el("input", { type: "text", id: "merges-word", maxlength: 40, value: content.word.trim(), autocomplete: "off", spellcheck: "false", dir: "rtl", input: () => read() });
  const [back, next, end] = [button("پیشین", () => go(at - 1)), button("پسین", () => go(at + 1)), button("پایان", () => go(list.length - 1))];

  function read() {
    const text = input.value.replace(/\s+/g, " ").trim();
    list = steps(text && ` ${text}`); // as inside a sentence
    go(0);
  }

  function go(step) {
    at = Math.max(0, Math.min(list.length - 1, step));
    const { pieces, rank, merged } = list[at];
    chips.replaceChildren(...pieces.map((piece) => el("span", { class: "piece" }, ...piece.map((id) => {
      const text = show(id);
      return el("bdi", { class: id === merged ? "chip merged" : "chip", dir: /^[0-9A-F]{2}( |$)/.test(text) ? "ltr" : "rtl" }, text);
    }))));
    const many = pieces.reduce((sum, piece) => sum + piece.length, 0);
    said.textContent = !many ? "واژه‌ای بنویسید." : at === 0
      ? `آغاز: ${fa(many)} بایت؛ ${fa(list.length - 1)} ادغام در پیش است.`
      : `گام ${fa(at)} از ${fa(list.length - 1)}: ادغام شمارهٔ ${fa(rank)}؛ ${fa(many)} نماد مانده است.`;
    [back, next, end].forEach((key, index) => key.setAttribute("aria-disabled", String(index ? at === list.length - 1 : at === 0)));
  }

  read();
  mount("fig-trace", "گام‌های ادغام یک واژه", [
    controls(el("label", { for: "merges-word" }, "واژه‌ای بنویسید:"), input, back, next, end), chips, said,
  ]);
}

if (found) {
  globalThis.report.tokenizer = () => tokenizer(found); // for `writing.js` and the tests
  start(found);
}
