// The engine, part 4: images pixel by pixel, nothing twice, as `Incremental` in `pixelcnn/sampling.py`. Every layer keeps what it
// gave at each pixel, channels last, in a map with a border of zeros wide enough for its taps; a pixel costs one product a
// layer. The stack: `pixelcnn/model.py`; the gated network: `gated.py`, whose vertical stack goes row by row.

(globalThis.report.worker ??= []).push(function painters() {
  const { asked, kinds, models, product, sigmoid, tensors, uniform } = self.engine;
  const BORDER = 3;
  let drawings = []; // those in the making

  /** An empty map of `channels` numbers a pixel; `at(row, column)` may lie in the border. */
  function map(side, channels, values = new Float32Array((side + BORDER) * (side + 2 * BORDER) * channels)) {
    const stride = (side + 2 * BORDER) * channels;
    return { channels, values, at: (row, column) => (row + BORDER) * stride + (column + BORDER) * channels, copy: () => map(side, channels, values.slice()) };
  }

  /** A layer as a function (map, row, column, out, place in out): its taps' inputs side by side, and one product. */
  function convolution({ taps, inputs, outputs }, weight, bias, slopes, side) {
    const patch = new Float32Array(taps.length * inputs), placed = new Float32Array(outputs);
    const runs = []; // taps that lie side by side: [row, first column, how many]
    for (const [dy, dx] of taps) {
      const last = runs.at(-1);
      if (last && last[0] === dy && last[1] + last[2] === dx) last[2]++;
      else runs.push([dy, dx, 1]);
    }
    return (input, row, column, out, to) => {
      let filled = 0;
      for (const [dy, dx, count] of runs) {
        const from = input.at(row + dy, column + dx);
        patch.set(input.values.subarray(from, from + count * inputs), filled);
        filled += count * inputs;
      }
      const down = 2 * row / (side - 1) - 1, along = 2 * column / (side - 1) - 1;
      for (let i = 0; i < outputs; i++) placed[i] = bias[i] + (slopes ? slopes[2 * i] * down + slopes[2 * i + 1] * along : 0);
      if (weight.whole) return product(weight, patch, out, to, placed);
      for (let i = 0; i < outputs; i++) { // rows too short to be whole numbers
        let sum = placed[i];
        for (let j = 0; j < patch.length; j++) sum += weight[i * patch.length + j] * patch[j];
        out[to + i] = sum;
      }
    };
  }

  async function convolutions({ layers, side, ...content }) {
    const weights = await tensors(content);
    return Object.fromEntries(Object.entries(layers).map(([name, layer]) =>
      [name, convolution(layer, weights[`${name}.weight`], weights[`${name}.bias`], weights[`${name}.slopes`], side)]));
  }

  const clip = (values, from, count) => { for (let i = from; i < from + count; i++) if (values[i] < 0) values[i] = 0; };

  kinds.stack = async (content) => {
    const run = await convolutions(content), { side, layers } = content, names = Object.keys(layers), logit = new Float32Array(1);
    return {
      side,
      maps: () => names.map((name) => map(side, layers[name].inputs)), // the first is the image
      row() {},
      logit(maps, row, column) {
        names.forEach((name, l) => {
          const to = l + 1 < names.length ? maps[l + 1] : null, at = to?.at(row, column);
          run[name](maps[l], row, column, to ? to.values : logit, at ?? 0);
          if (to) clip(to.values, at, to.channels);
        });
        return logit[0];
      },
    };
  };

  kinds.gated = async (content) => {
    const run = await convolutions(content), { side, layers, residual } = content;
    const depth = Object.keys(layers).filter((name) => name.endsWith(".vertical")).length, channels = layers.head.inputs;
    const wide = new Float32Array(2 * channels), small = new Float32Array(channels), logit = new Float32Array(1);
    const point = (values) => ({ values, at: () => 0 }); // one pixel as a map, for 1×1 layers
    const gate = (values) => { for (let k = 0; k < channels; k++) small[k] = Math.tanh(values[k]) * sigmoid(values[k + channels]); };
    const grow = (to, from, row, column, l) => { // the residual connection; the first layer has none
      const at = to.at(row, column), before = from.at(row, column);
      for (let k = 0; k < channels; k++) to.values[at + k] = small[k] + (residual && l ? from.values[before + k] : 0);
    };
    return { // maps: the image, then vertical, what it tells, horizontal of each layer
      side,
      maps: () => [map(side, 1), ...Array.from({ length: depth }, () => [map(side, channels), map(side, 2 * channels), map(side, channels)]).flat()],
      row(maps, row) {
        for (let l = 0; l < depth; l++) {
          const from = l ? maps[3 * l - 2] : maps[0], [to, told] = maps.slice(3 * l + 1);
          for (let column = 0; column < side; column++) {
            run[`layers.${l}.vertical`](from, row, column, wide, 0);
            gate(wide);
            grow(to, from, row, column, l);
            run[`layers.${l}.link`](to, row, column, told.values, told.at(row, column));
          }
        }
      },
      logit(maps, row, column) {
        for (let l = 0; l < depth; l++) {
          const from = l ? maps[3 * l] : maps[0], [, told, to] = maps.slice(3 * l + 1), at = told.at(row, column);
          run[`layers.${l}.horizontal`](from, row, column, wide, 0);
          for (let k = 0; k < 2 * channels; k++) wide[k] += told.values[at + k];
          gate(wide);
          run[`layers.${l}.output`](point(small.slice()), 0, 0, small, 0);
          grow(to, from, row, column, l);
        }
        const top = maps.at(-1), at = top.at(row, column), x = top.values.slice(at, at + channels);
        clip(x, 0, channels);
        run.head(point(x), 0, 0, small, 0);
        clip(small, 0, channels);
        run.logit(point(small), 0, 0, logit, 0);
        return logit[0];
      },
    };
  };

  /** Begin `count` images whose first `kept` pixels (in raster order) are those of `pixels`; 0 or 1 each. */
  asked.begin = (name, pixels, kept, count, temperature, seed) => {
    drawings = [{ name, pixels, kept, count, temperature, seed, row: 0, images: [models[name].maps()] }];
  };

  /** Draw the next row of all images: [{pixels, p}, …], a row each; `p` is how likely the model thought each pixel to be lit.
      What all images have in common is computed once: they part at the first row that holds a pixel to draw. */
  asked.row = () => {
    const drawing = drawings[0], { name, pixels, kept, count, temperature, seed, row } = drawing, model = models[name], { side } = model;
    if (drawing.images.length < count && (row + 1) * side > kept) drawing.images = Array.from({ length: count }, () => drawing.images[0].map((each) => each.copy()));
    drawing.row++;
    return drawing.images.map((maps, image) => {
      const found = { pixels: new Uint8Array(side), p: new Float64Array(side) };
      model.row(maps, row);
      for (let column = 0; column < side; column++) {
        const place = row * side + column;
        const p = found.p[column] = 1 / (1 + Math.exp(-model.logit(maps, row, column) / temperature));
        found.pixels[column] = place < kept ? pixels[place] : Number(uniform(seed, image * side * side + place) < p);
        maps[0].values[maps[0].at(row, column)] = found.pixels[column];
      }
      return found;
    });
  };
});
