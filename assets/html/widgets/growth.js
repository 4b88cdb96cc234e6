// fig-samples: the hundred images as the sampler made them, pixel by pixel. Finished they are the figure itself; while they
// grow, from the first pixel on, they stand in its place. For readers who want less motion a row at a time.

const { bits, button, controls, data, el, fa, mount, status } = globalThis.report;
const found = data("growth");
const GAP = 2, PAPER = [230, 230, 230], EMPTY = [214, 226, 238], NOW = [213, 94, 0];

function start({ images, count, columns, side }) {
  const ink = bits(images), pixels = side * side;
  const width = columns * (side + GAP) - GAP, height = Math.ceil(count / columns) * (side + GAP) - GAP;
  const canvas = el("canvas", { width, height, class: "pixels", role: "img", "aria-label": "صد تصویر که پیکسل به پیکسل ساخته می‌شوند" });
  const pen = canvas.getContext("2d");
  const picture = pen.createImageData(width, height);
  const said = status(), shown = el("p", { class: "widget-count", "aria-hidden": "true" });
  const slider = el("input", { type: "range", min: 0, max: pixels, value: pixels, "aria-label": "شمار پیکسل‌های ساخته‌شده", input: () => { stop(); draw(); } });
  const play = button("پخش", () => (timer ? stop() : run()));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;

  function put(x, y, [red, green, blue]) {
    picture.data.set([red, green, blue, 255], 4 * (y * width + x));
  }

  function draw() {
    const step = Number(slider.value);
    for (let image = 0; image < count; image++) {
      const top = Math.floor(image / columns) * (side + GAP), left = (image % columns) * (side + GAP);
      for (let i = 0; i < pixels; i++) {
        const shade = ink[image * pixels + i] ? [0, 0, 0] : [255, 255, 255];
        put(left + (i % side), top + Math.floor(i / side), i < step ? shade : i === step ? NOW : EMPTY);
      }
    }
    pen.putImageData(picture, 0, 0);
    const text = `${fa(step)} پیکسل از ${fa(pixels)}`;
    slider.setAttribute("aria-valuetext", text);
    shown.textContent = text;
    canvas.hidden = shown.hidden = step >= pixels;
    host.classList.toggle("only-on-paper", step < pixels);
  }

  function run() {
    if (Number(slider.value) >= pixels) slider.value = 0;
    play.textContent = "ایست";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + (calm.matches ? side : 2);
      draw();
      if (Number(slider.value) >= pixels) stop();
    }, calm.matches ? 700 : 33);
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "پخش";
    said.textContent = slider.getAttribute("aria-valuetext");
  }

  for (let i = 0; i < width * height; i++) put(i % width, Math.floor(i / width), PAPER);
  const host = mount("fig-samples", "رشد صد تصویر", [
    el("p", { class: "widget-help" }, "صد نمونهٔ توزیع خود مدل را، پیکسل به پیکسل و به همان ترتیبی که ساخته شدند، پخش کنید."), canvas, shown, controls(play, slider), said,
  ]);
  if (host) draw();
}

if (found) start(found);
