// The trained models of the page, in a worker: begun, and their weights unpacked, when a reader first touches a figure that
// needs them. The worker is made from the text of the engine's functions, so that a page opened from a file needs nothing
// else. The engine asks for nothing beyond what it is sent; what a reader typed or drew goes nowhere.

const { data } = globalThis.report;
let worker = null, asked = 0;
const waiting = new Map(), opened = {};

/** What the engine answers to `name` with these values. */
function ask(name, ...given) {
  if (!worker) {
    const place = URL.createObjectURL(new Blob(globalThis.report.worker.map((part) => `(${part})();\n`), { type: "text/javascript" }));
    worker = new Worker(place);
    URL.revokeObjectURL(place);
    worker.onmessage = ({ data: { id, value, error } }) => {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      if (error) reject(new Error(error)); else resolve(value);
    };
  }
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, name, given });
  });
}

/** The models of the block `data-NAME_models`, ready to be asked; unpacked once. */
const open = (name) => (opened[name] ??= ask("open", data(`${name}_models`)));

globalThis.report.live = { ask, open };
