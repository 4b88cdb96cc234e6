// fig-field: drag a point over an image and see the pixels that its output depends on, the blind spot included.
// The field is computed from the masks of the trained model alone: a pixel is seen if some path of live taps, a step a
// layer and always inside the image, leads to it. `tests/test_html_browser.py` compares it with the gradients.

const { bits, data, el, fa, mount, status } = globalThis.report;
const found = data("field");
const CELL = 12; // canvas pixels a pixel of the image

/** Zeros and ones, row by row: what the output at (row, column) sees through `layers` of live taps [dy, dx]. */
function receptiveField(layers, row, column, height, width) {
  let seen = new Uint8Array(height * width);
  seen[row * width + column] = 1;
  for (const taps of [...layers].reverse()) {
    const below = new Uint8Array(height * width);
    seen.forEach((reached, place) => {
      if (!reached) return;
      const y = Math.floor(place / width), x = place % width;
      for (const [dy, dx] of taps) {
        if (y + dy >= 0 && y + dy < height && x + dx >= 0 && x + dx < width) below[(y + dy) * width + x + dx] = 1;
      }
    });
    seen = below;
  }
  return seen;
}

function start({ layers, height, width, image, row, column }) {
  const ink = bits(image);
  const reach = layers.reduce((sum, taps) => sum + Math.max(...taps.map(([dy]) => -dy)), 0);
  const said = status();
  const canvas = el("canvas", {
    width: width * CELL, height: height * CELL, tabindex: 0, role: "application",
    "aria-label": "تصویر ۲۸ در ۲۸ پیکسل؛ با کلیدهای جهت پیکسل خروجی را جابه‌جا کنید",
    pointerdown: (event) => { canvas.setPointerCapture(event.pointerId); point(event); },
    pointermove: (event) => { if (canvas.hasPointerCapture(event.pointerId)) point(event); },
    keydown: key,
  });
  const pen = canvas.getContext("2d");

  function square(y, x, colour) {
    pen.fillStyle = colour;
    pen.fillRect(x * CELL, y * CELL, CELL, CELL);
  }

  function draw() {
    const place = row * width + column;
    const seen = receptiveField(layers, row, column, height, width);
    const count = { seen: 0, blind: 0, far: 0 };
    for (let i = 0; i < ink.length; i++) {
      const y = Math.floor(i / width), x = i % width;
      if (i >= place) { square(y, x, ink[i] ? "#9a9a9a" : "#e6e6e6"); continue; }
      if (seen[i]) { count.seen++; square(y, x, ink[i] ? "#0b4f8a" : "#9cc9e8"); continue; }
      count[row - y <= reach && Math.abs(column - x) <= reach ? "blind" : "far"]++;
      square(y, x, ink[i] ? "#c9c9c9" : "#ffffff");
      pen.strokeStyle = "#d55e00";
      pen.lineWidth = 1;
      pen.beginPath();
      for (const shift of [0, CELL / 2]) { // two strokes of the hatching
        pen.moveTo(x * CELL + shift, y * CELL + CELL / 2 + shift);
        pen.lineTo(x * CELL + CELL / 2 + shift, y * CELL + shift);
      }
      pen.stroke();
    }
    pen.strokeStyle = "#000000";
    pen.lineWidth = 2.5;
    pen.strokeRect(column * CELL + 1, row * CELL + 1, CELL - 2, CELL - 2);
    said.textContent = `سطر ${fa(row)}، ستون ${fa(column)}: از ${fa(place)} پیکسل پیشین ${fa(count.seen)} دیده می‌شود، ` +
      `${fa(count.blind)} در نقطهٔ کور است و ${fa(count.far)} بیرون از برد.`;
  }

  function move(y, x) {
    row = Math.max(0, Math.min(height - 1, y));
    column = Math.max(0, Math.min(width - 1, x));
    draw();
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    move(Math.floor((event.clientY - box.top) / box.height * height), Math.floor((event.clientX - box.left) / box.width * width));
  }

  function key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(row + step[0], column + step[1]);
  }

  draw();
  mount("fig-field", "میدان دید هر پیکسل", [
    el("p", { class: "widget-help" }, "پیکسل خروجی را بکشید یا با کلیدهای جهت جابه‌جا کنید. آبی: دیده‌شده؛ هاشور: پیش از آن و دیده‌نشده؛ خاکستری: آینده. سطر و ستون از صفر شمرده می‌شوند، چنان که در کد."),
    canvas, said,
  ], { instead: true });
}

if (found) start(found);
globalThis.report.receptiveField = receptiveField; // for the tests
