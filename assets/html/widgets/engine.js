// The engine of the models that run in the page, part 1: weights, products, random numbers, choosing. Nothing here runs in
// the page itself: the functions in `report.worker` are sent, as text, to a worker that needs no file (`live.js`). Weights
// are whole numbers with a scale a row (`report/live.py`, `system/whole_weights.py`); features are fp32, sums fp64.

(globalThis.report.worker ??= []).push(function engine() {
  /** Bytes from text, thirteen bits in two signs (`report/live.py` says which signs): 8% less than base64. */
  function bytesOf(text, count) {
    const found = new Uint8Array(count + 2), digit = new Uint8Array(128);
    for (let code = 32, value = 0; code < 127; code++) if (!'"/<\\'.includes(String.fromCharCode(code))) digit[code] = value++;
    let held = 0, bits = 0, at = 0;
    for (let i = 0; i < text.length; i += 2) {
      held |= (digit[text.charCodeAt(i)] * 91 + digit[text.charCodeAt(i + 1)]) << bits;
      for (bits += 13; bits >= 8; bits -= 8, held >>>= 8) found[at++] = held & 255;
    }
    return found.subarray(0, count);
  }

  /** What zlib packed, [bytes, text], unpacked by the browser itself. */
  async function inflated([count, text]) {
    const stream = new Blob([bytesOf(text, count)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Tensors by name: a vector is a Float32Array; a matrix {rows, columns, whole: Int8Array, scale: Float32Array}. */
  async function tensors({ tensors: names, weights }) {
    const { buffer } = await inflated(weights), found = {};
    const vector = (count) => { at += 4 * count; return new Float32Array(buffer, at - 4 * count, count); };
    let at = 0;
    for (const [name, rows, columns] of names) found[name] = columns ? { rows, columns, scale: vector(rows) } : vector(rows);
    for (const [name, rows, columns] of names) {
      if (!columns) continue;
      found[name].whole = new Int8Array(buffer, at, rows * columns);
      at += rows * columns;
    }
    return found;
  }

  /** out[to + i] = scale_i · (whole_i · x) + bias_i for every row i, four rows at a time; `bias` may be missing. */
  function product({ rows, columns, whole, scale }, x, out, to = 0, bias = null) {
    const wide = Float64Array.from(x), fours = rows & ~3;
    for (let row = 0; row < fours; row += 4) {
      const i = row * columns, j = i + columns, k = j + columns, l = k + columns;
      let a = 0, b = 0, c = 0, d = 0;
      for (let at = 0; at < columns; at++) {
        const value = wide[at];
        a += whole[i + at] * value;
        b += whole[j + at] * value;
        c += whole[k + at] * value;
        d += whole[l + at] * value;
      }
      out[to + row] = scale[row] * a;
      out[to + row + 1] = scale[row + 1] * b;
      out[to + row + 2] = scale[row + 2] * c;
      out[to + row + 3] = scale[row + 3] * d;
    }
    for (let row = fours; row < rows; row++) {
      let sum = 0;
      for (let at = 0; at < columns; at++) sum += whole[row * columns + at] * wide[at];
      out[to + row] = scale[row] * sum;
    }
    if (bias) for (let row = 0; row < rows; row++) out[to + row] += bias[row];
  }

  /** Row `row` of a matrix, times `factor`. */
  function rowOf({ columns, whole, scale }, row, factor) {
    return Float32Array.from({ length: columns }, (_, j) => factor * scale[row] * whole[row * columns + j]);
  }

  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  function mix(x) { // "lowbias32", C. Wellons 2018
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return (x ^ (x >>> 16)) >>> 0;
  }

  /** A number inside (0, 1) of a seed and a place: no state, the same in Python (`whole_weights.uniforms`). */
  const uniform = (seed, place) => (mix((mix(seed >>> 0) + place) | 0) + 0.5) / 2 ** 32;

  /** Probabilities of logits at a temperature, as fp64. */
  function softmax(logits, temperature = 1) {
    const p = new Float64Array(logits.length);
    let top = -Infinity, sum = 0;
    for (let i = 0; i < p.length; i++) if (logits[i] > top) top = logits[i];
    for (let i = 0; i < p.length; i++) sum += p[i] = Math.exp((logits[i] - top) / temperature);
    for (let i = 0; i < p.length; i++) p[i] /= sum;
    return p;
  }

  /** The places of the `count` largest values, the largest first; equal ones in their order. */
  function largest(values, count) {
    return [...values.keys()].sort((i, j) => values[j] - values[i] || i - j).slice(0, count);
  }

  /** The place that `u` in (0, 1) draws, in the order of `language/generation.py`: temperature, top-k, top-p, inversion of
      the cumulative distribution. */
  function choose(logits, u, { temperature = 1, topK = Infinity, topP = 1 } = {}) {
    const p = softmax(logits, temperature);
    if (topK < p.length || topP < 1) {
      const order = largest(p, Math.min(topK, p.length));
      const whole = order.reduce((sum, place) => sum + p[place], 0);
      let before = 0;
      const kept = new Set(topP >= 1 ? order : order.filter((place, rank) => {
        const stays = rank === 0 || before < topP * whole * (1 - 1e-6);
        before += p[place];
        return stays;
      }));
      for (let i = 0; i < p.length; i++) if (!kept.has(i)) p[i] = 0;
    }
    const total = p.reduce((sum, each) => sum + each, 0);
    let cumulative = 0, last = 0;
    for (let i = 0; i < p.length; i++) {
      if (!p[i]) continue;
      last = i;
      cumulative += p[i];
      if (cumulative > u * total) break;
    }
    return last;
  }

  /** Whole numbers in groups of seven bits, one after the other. */
  function sevens(packed) {
    let at = 0;
    return (count) => Float64Array.from({ length: count }, () => {
      let value = 0, unit = 1;
      for (; packed[at] & 128; unit *= 128) value += (packed[at++] & 127) * unit;
      return value + packed[at++] * unit;
    });
  }

  const models = {}, kinds = {}; // by name; a kind of model builds itself from what the page holds

  /** What the page may ask for; each answer goes back to it. */
  const asked = {
    async open(contents) {
      for (const [name, content] of Object.entries(contents)) models[name] ??= await kinds[content.kind](content);
    },
  };

  Object.assign(self, { engine: { asked, bytesOf, choose, inflated, kinds, largest, models, product, rowOf, sevens, sigmoid, softmax, tensors, uniform } });
  let line = Promise.resolve(); // one at a time, in the order asked
  self.onmessage = ({ data: { id, name, given } }) => {
    line = line.then(async () => {
      try { self.postMessage({ id, value: await asked[name](...given) }); } catch (error) { self.postMessage({ id, error: String(error) }); }
    });
  };
});
