// fig-writers: type a beginning and see, side by side, what the three language models expect next; go on with one of their
// tokens, or let each go on by itself. The numbers are those of the models in the page (`report/live.py`), computed here.

const { button, controls, data, el, fa, mount, slider, status, live, typed } = globalThis.report;
const NAMES = { ngram: "کنسر–نی", rnn: "شبکهٔ بازگشتی", transformer: "ترنسفورمر" };
const SPECIAL = ["آغاز متن", "پایان متن"], END = 1, LENGTH = 40, WAIT = 250; // <bos>, <eos>; tokens of a continuation; ms after a key

const percent = (p) => `${fa((100 * p).toFixed(p < 0.0995 ? 1 : 0))}٪`;
const mean = (losses) => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

function start() {
  const said = status(), chips = el("div", { class: "tokens", role: "group", "aria-label": "توکن‌های آغاز متن", keydown: walk });
  const detail = el("p", { class: "widget-help", "aria-live": "polite" });
  const field = el("textarea", { id: "writers-text", rows: 2, maxlength: 300, dir: "rtl", spellcheck: "false", autocomplete: "off", input: () => { stop(); timer = setTimeout(() => awake().then(read), WAIT); } });
  const [temperature, warm] = slider("دما", { min: 0.2, max: 2, step: 0.1, value: 0.8 });
  const [cut, share] = slider("top-p", { min: 0.05, max: 1, step: 0.05, value: 0.9 });
  const go = button("ادامه بده", () => (running ? stop() : awake().then(run)));
  const columns = {};
  let ready = null, tokens = null, clean = null, ids = [0], told = {}, timer = 0, running = false, seed = 0, turn = 0, marked = 0;

  const column = (name) => {
    const parts = columns[name] = { measure: el("p", { class: "measure" }), list: el("ol", { class: "likeliest" }), text: el("p", { class: "continuation", dir: "rtl" }) };
    return el("section", { class: "writer", "aria-label": NAMES[name] ?? name }, el("p", { class: "writer-name" }, NAMES[name] ?? name), parts.measure, parts.list, parts.text);
  };

  /** The weights are unpacked when the reader first touches anything here; the static figure goes when there is more to see. */
  function awake() {
    return (ready ??= (async () => {
      said.textContent = "وزن‌های سه مدل باز می‌شود …";
      tokens = globalThis.report.tokenizer();
      clean = typed(found.classes);
      await live.open("writers");
      await read();
      host.classList.add("only-on-paper");
    })());
  }

  function read() {
    const { text, changes } = clean(field.value);
    ids = [0, ...tokens.encode(text)];
    const list = changes.map(([name, count]) => `${name} ${fa(count)} بار`).join("، ");
    return show(list ? `پیش از خواندن یکدست شد: ${list}.` : "");
  }

  /** Ask every model about `ids`, and show what is answered unless the text has changed meanwhile. */
  async function show(words) {
    const mine = ++turn, answers = {};
    for (const name of names) {
      answers[name] = await live.ask("read", name, ids);
      if (mine !== turn) return;
    }
    told = answers;
    for (const name of names) {
      const { measure, list, text } = columns[name], { losses, likeliest } = told[name], top = likeliest[0][1];
      text.textContent = "";
      measure.textContent = losses.length ? `زیان ${fa(mean(losses).toFixed(2))} نات بر توکن؛ سرگشتگی ${fa(Math.exp(mean(losses)).toFixed(1))}` : "هنوز چیزی نوشته نشده است.";
      list.replaceChildren(...likeliest.map(([id, p]) => {
        const bar = el("span", { class: "bar", "aria-hidden": "true" }), word = SPECIAL[id] ?? tokens.show(id);
        bar.style.inlineSize = `${(2.5 * p / top).toFixed(2)}em`;
        return el("li", {}, el("button", { type: "button", "aria-label": `${word}، ${percent(p)}`, "aria-disabled": String(id <= END), click: () => id > END && add(id) },
          el("bdi", { dir: "auto" }, word), el("span", { class: "number" }, percent(p)), bar));
      }));
    }
    chips.replaceChildren(...ids.slice(1).map((id, at) => el("button", { type: "button", class: "token", tabindex: at ? -1 : 0, focus: () => look(at), mouseenter: () => look(at), click: () => look(at) }, el("bdi", {}, tokens.show(id)))));
    detail.textContent = "توکنی را برگزینید تا زیانش، و جاهایی که ترنسفورمر پیش از آن نگاه کرده است، نشان داده شود.";
    said.textContent = `${words ? `${words} ` : ""}${fa(ids.length - 1)} توکن خوانده شد.`;
  }

  /** The losses of token `at`, and where the Transformer looked to foresee it (mean of the last block's heads). */
  function look(at) {
    const all = [...chips.children], start = told.transformer?.start ?? 0, weights = told.transformer?.looks[at - start] ?? [];
    if (!all[at]) return;
    marked = at;
    const highest = Math.max(...weights.slice(1), 1e-9); // the first is <bos>, which is no token of the text
    all.forEach((chip, place) => {
      chip.tabIndex = place === at ? 0 : -1;
      chip.setAttribute("aria-pressed", String(place === at));
      chip.style.setProperty("--look", (place < at ? Math.max(0, (weights[place + 1 - start] ?? 0) / highest) : 0).toFixed(2));
    });
    const losses = names.flatMap((name) => {
      const loss = told[name].losses[at - told[name].start];
      return loss === undefined ? [] : [`${NAMES[name]} ${fa(loss.toFixed(2))}`];
    });
    detail.textContent = `زیان این توکن (نات): ${losses.join("، ")}. رنگ هر توکن پیشین سهم آن از نگاه ترنسفورمر است؛ ${percent(weights[0] ?? 0)} آن بر آغاز متن است.`;
  }

  function walk(event) {
    const step = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    chips.children[Math.max(0, Math.min(chips.children.length - 1, marked + step))]?.focus();
  }

  async function add(id) {
    stop();
    ids = [...ids, id];
    field.value = tokens.decode(ids);
    await show("");
    columns[names[0]].list.querySelector("button")?.focus({ preventScroll: true });
  }

  /** All models go on at once, with the same random numbers. */
  async function run() {
    const mine = ++turn, settings = { temperature: warm(), topP: share() }, own = ++seed;
    const rows = Object.fromEntries(names.map((name) => [name, []]));
    running = true;
    go.textContent = "ایست";
    said.textContent = `هر مدل ادامه می‌دهد (دانهٔ ${fa(own)}) …`;
    for (let place = 0; place < LENGTH; place++) {
      for (const name of names) {
        if (rows[name].at(-1) === END) continue;
        const id = await live.ask("next", name, [...ids, ...rows[name]], settings, own, place);
        if (mine !== turn) return;
        rows[name].push(id);
        columns[name].text.textContent = `…${tokens.decode(rows[name])}${id === END ? " ∎" : ""}`;
      }
    }
    stop();
    said.textContent = `هر مدل تا ${fa(LENGTH)} توکن ادامه داد (دانهٔ ${fa(own)}).`;
  }

  /** Whatever is being asked is no longer wanted. */
  function stop() {
    clearTimeout(timer);
    turn++;
    running = false;
    go.textContent = "ادامه بده";
  }

  const found = data("writers"), { names } = found;
  field.value = found.beginning;
  const host = mount("fig-writers", "سه مدل زبانی کنار هم", [
    el("p", { class: "widget-help" }, "آغاز متنی را بنویسید. مدل‌ها در همین صفحه حساب می‌کنند و نوشتهٔ شما جایی نمی‌رود. در توکن‌ها «_» فاصله و «-» نیم‌فاصله است."),
    el("label", { for: "writers-text", class: "field-label" }, "آغاز متن:"), field, said, chips, detail,
    el("div", { class: "writers" }, ...names.map(column)), controls(temperature, cut, go),
  ], { above: true });
  for (const touch of ["focusin", "pointerdown"]) host?.previousElementSibling.addEventListener(touch, awake);
  said.textContent = "با نخستین لمس، وزن‌ها باز می‌شود.";
}

if (document.getElementById("data-writers") && document.getElementById("data-merges")) start();
