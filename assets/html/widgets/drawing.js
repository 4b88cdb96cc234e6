// fig-painters: draw a part of a digit and see the networks finish it, four times at once, row by row. Rows and columns count
// from zero, as in the code. What is kept is a beginning of the image in raster order: on nothing else can the networks rely.

const { bits, button, controls, data, el, fa, mount, slider, status, live } = globalThis.report;
const NAMES = { pixelcnn: "شبکهٔ خواسته‌شده", "pixelcnn-gated": "شبکهٔ دوپشته‌ای" };
const SIDE = 28, CELL = 10, COUNT = 4;
const WHITE = [255, 255, 255], BLACK = [0, 0, 0], FREE = [214, 226, 238], LINE = "#d55e00";

/** A canvas of 28 × 28 pixels and a function that paints pixel (row, column). */
function picture(label) {
  const canvas = el("canvas", { width: SIDE, height: SIDE, class: "pixels", role: "img", "aria-label": label });
  const pen = canvas.getContext("2d"), image = pen.createImageData(SIDE, SIDE);
  const put = (row, column, [red, green, blue]) => image.data.set([red, green, blue, 255], 4 * (row * SIDE + column));
  const clear = () => { for (let i = 0; i < SIDE * SIDE; i++) put(Math.floor(i / SIDE), i % SIDE, FREE); };
  clear();
  const show = () => pen.putImageData(image, 0, 0);
  show();
  return { canvas, put, clear, show };
}

function start({ names, image, rows }) {
  const ink = bits(image), said = status();
  let row = rows, column = 14, erases = false, name = names[0], running = false, turn = 0, seed = 0, follows = true, last = null;

  const canvas = el("canvas", { width: SIDE * CELL, height: SIDE * CELL, tabindex: 0, role: "application",
    "aria-label": "میدان ۲۸ در ۲۸ پیکسل؛ با کلیدهای جهت جابه‌جا شوید و با فاصله پیکسل را روشن یا خاموش کنید",
    pointerdown: (event) => { canvas.setPointerCapture(event.pointerId); last = null; stroke(event); },
    pointermove: (event) => { if (canvas.hasPointerCapture(event.pointerId)) stroke(event); },
    keydown: key, focus: draw, blur: draw });
  const pen = canvas.getContext("2d");
  const [kept, keeps, line] = slider("سطرهای داده‌شده", { min: 0, max: SIDE, step: 1, value: rows });
  const [temperature, warm] = slider("دما", { min: 0.2, max: 2, step: 0.1, value: 1 });
  line.addEventListener("input", () => { follows = false; draw(); });
  const networks = names.map((each) => button(NAMES[each] ?? each, () => choose(each)));
  const eraser = button("پاک‌کن", () => { erases = !erases; eraser.setAttribute("aria-pressed", String(erases)); });
  const go = button("تمامش کن", () => (running ? stop() : run()));
  const empty = button("میدان خالی", () => { stop(); ink.fill(0); follows = true; reach(); draw(); said.textContent = "میدان خالی شد."; });
  const results = Array.from({ length: COUNT }, (_, index) => picture(`ادامهٔ ${fa(index + 1)}`)), chance = picture("نقشهٔ احتمال");

  function draw() {
    for (let i = 0; i < ink.length; i++) {
      const y = Math.floor(i / SIDE), [red, green, blue] = ink[i] ? BLACK : y < keeps() ? WHITE : FREE;
      pen.fillStyle = `rgb(${red} ${green} ${blue})`;
      pen.fillRect((i % SIDE) * CELL, y * CELL, CELL, CELL);
    }
    pen.fillStyle = LINE;
    pen.fillRect(0, Math.min(keeps() * CELL, SIDE * CELL - 2) - 1, SIDE * CELL, 2);
    if (document.activeElement !== canvas) return;
    pen.strokeStyle = LINE;
    pen.lineWidth = 2;
    pen.strokeRect(column * CELL + 1, row * CELL + 1, CELL - 2, CELL - 2);
  }

  /** The line stands under the lowest row with ink, until the reader moves it. */
  function reach() {
    if (!follows) return;
    line.value = Math.floor(ink.lastIndexOf(1) / SIDE) + 1;
    line.dispatchEvent(new Event("input"));
    follows = true;
  }

  function put(y, x, lit) {
    if (y >= 0 && y < SIDE && x >= 0 && x < SIDE) ink[y * SIDE + x] = Number(lit);
  }

  /** Two pixels wide, and without gaps where the pointer was fast. */
  function stroke(event) {
    const box = canvas.getBoundingClientRect(), now = [(event.clientY - box.top) / box.height * SIDE, (event.clientX - box.left) / box.width * SIDE];
    const from = last ?? now, steps = Math.max(1, Math.ceil(2 * Math.hypot(now[0] - from[0], now[1] - from[1])));
    for (let step = 0; step <= steps; step++) {
      const [y, x] = [0, 1].map((axis) => Math.round(from[axis] + (now[axis] - from[axis]) * step / steps - 1));
      for (const [dy, dx] of [[0, 0], [0, 1], [1, 0], [1, 1]]) put(y + dy, x + dx, !erases);
    }
    last = now;
    [row, column] = now.map((each) => Math.max(0, Math.min(SIDE - 1, Math.floor(each))));
    stop();
    reach();
    draw();
  }

  function key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) [row, column] = [row + step[0], column + step[1]].map((each) => Math.max(0, Math.min(SIDE - 1, each)));
    else { stop(); put(row, column, !ink[row * SIDE + column]); reach(); }
    draw();
    said.textContent = `سطر ${fa(row)}، ستون ${fa(column)}: ${ink[row * SIDE + column] ? "روشن" : "خاموش"}.`;
  }

  function choose(each) {
    stop();
    name = each;
    networks.forEach((network, index) => network.setAttribute("aria-pressed", String(names[index] === name)));
  }

  async function run() {
    const mine = ++turn, own = ++seed, given = keeps() * SIDE;
    running = true;
    go.textContent = "ایست";
    said.textContent = "وزن‌های دو شبکه باز می‌شود …";
    await live.open("painters");
    if (mine !== turn) return;
    said.textContent = `${NAMES[name]} می‌کشد (دانهٔ ${fa(own)}) …`;
    for (const each of [...results, chance]) each.clear();
    await live.ask("begin", name, ink.slice(), given, COUNT, warm(), own);
    let nats = 0;
    for (let y = 0; y < SIDE; y++) {
      const parts = await live.ask("row");
      if (mine !== turn) return;
      for (let x = 0; x < SIDE; x++) {
        results.forEach(({ put: paint }, index) => paint(y, x, (parts[index] ?? parts[0]).pixels[x] ? BLACK : WHITE));
        const p = parts.reduce((sum, part) => sum + part.p[x], 0) / parts.length;
        chance.put(y, x, Array(3).fill(Math.round(255 * (1 - p))));
        if (y * SIDE >= given) nats -= parts.reduce((sum, part) => sum + Math.log(part.pixels[x] ? part.p[x] : 1 - part.p[x]), 0) / COUNT;
      }
      for (const each of [...results, chance]) each.show();
    }
    stop();
    said.textContent = `${fa(COUNT)} ادامه کشیده شد (دانهٔ ${fa(own)})؛ زیان هر ادامه به‌طور میانگین ${fa(nats.toFixed(1))} نات.`;
  }

  function stop() {
    turn++;
    running = false;
    go.textContent = "تمامش کن";
  }

  const host = mount("fig-painters", "کامل‌کردن یک رقم", [
    el("p", { class: "widget-help" }, "بخش بالای رقمی را بکشید؛ شبکه بقیه را، از خط نارنجی به پایین، پیکسل به پیکسل می‌کشد. هر چه پایین‌تر از خط کشیده شده باشد نادیده می‌ماند."),
    el("div", { class: "painters" }, canvas, el("div", { class: "drawn" }, ...results.map(({ canvas: each }) => each)),
      el("div", {}, chance.canvas, el("p", { class: "widget-help" }, "میانگین احتمال روشن‌بودن در چهار ادامه"))),
    said, controls(...networks, eraser, empty), controls(kept, temperature, go),
  ], { above: true });
  choose(name);
  eraser.setAttribute("aria-pressed", "false");
  draw();
  for (const touch of ["focusin", "pointerdown"]) host?.previousElementSibling.addEventListener(touch, () => host.classList.add("only-on-paper"), { once: true });
  said.textContent = "با نخستین «تمامش کن»، وزن‌ها باز می‌شود.";
}

const found = data("painters");
if (found) start(found);
