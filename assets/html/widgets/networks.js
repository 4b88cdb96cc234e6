// The engine, part 2: LSTM and Transformer, token by token. `step(id, place)` reads one more token, after those of the places
// before it, and gives the logits of the next. The formulas: `language/recurrent.py`, `transformer.py`, `attention.py`.

(globalThis.report.worker ??= []).push(function networks() {
  const { kinds, product, rowOf, sigmoid, softmax, tensors } = self.engine;

  kinds.lstm = async (content) => {
    const weights = await tensors(content);
    const { width, vocabulary, layers, outputScale } = content;
    const sizes = Array.from({ length: layers }, (_, l) => weights[`layers.${l}.hidden_weight`].columns);
    const states = []; // after each token: h and c of each layer

    /** State after one more token, and the logits of the next. */
    function step(id, place) {
      let x = rowOf(weights["embedding.weight"], id, Math.sqrt(width));
      states[place] = sizes.map((size, l) => {
        const [h, c] = place ? states[place - 1][l] : [new Float32Array(size), new Float32Array(size)];
        const own = new Float32Array(4 * size), told = new Float32Array(4 * size);
        product(weights[`layers.${l}.input_weight`], x, own, 0, weights[`layers.${l}.bias`]);
        product(weights[`layers.${l}.hidden_weight`], h, told);
        const next = [new Float32Array(size), new Float32Array(size)];
        for (let k = 0; k < size; k++) {
          const [i, f, g, o] = [0, 1, 2, 3].map((gate) => own[gate * size + k] + told[gate * size + k]);
          next[1][k] = sigmoid(f) * c[k] + sigmoid(i) * Math.tanh(g);
          next[0][k] = sigmoid(o) * Math.tanh(next[1][k]);
        }
        x = next[0];
        return next;
      });
      const logits = new Float32Array(vocabulary);
      product(weights["embedding.weight"], x.map((each) => outputScale * each), logits, 0, weights.output_bias);
      return { logits };
    }
    return { step, context: Infinity };
  };

  kinds.transformer = async (content) => {
    const weights = await tensors(content);
    const { width, vocabulary, layers, heads, kvHeads, context, epsilon } = content;
    const head = width / heads, half = head / 2, joint = (heads + 2 * kvHeads) * head, shared = heads / kvHeads;
    const caches = Array.from({ length: layers }, () => new Float32Array(context * joint)); // queries lie there too, unused
    const turns = Array.from({ length: context }, (_, t) => Array.from({ length: half }, (_, k) => t * 10000 ** (-2 * k / head)));

    function normed(x, gain) {
      const mean = x.reduce((sum, each) => sum + each * each, 0) / width;
      return x.map((each, j) => each / Math.sqrt(mean + epsilon) * gain[j]);
    }

    /** Queries and keys turned by their place's angles: number k of a head is paired with k + half. */
    function turn(cache, place) {
      for (let from = place * joint, h = 0; h < heads + kvHeads; h++, from += head) {
        for (let k = 0; k < half; k++) {
          const [a, b, cos, sin] = [cache[from + k], cache[from + k + half], Math.fround(Math.cos(turns[place][k])), Math.fround(Math.sin(turns[place][k]))];
          cache[from + k] = a * cos - b * sin;
          cache[from + k + half] = b * cos + a * sin;
        }
      }
    }

    /** One query against all keys so far: what is mixed of the values, and the weights of every head. */
    function attend(cache, place) {
      const mixed = new Float32Array(width), looks = [];
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / shared), scores = new Float64Array(place + 1);
        const query = place * joint + h * head;
        for (let t = 0; t <= place; t++) {
          const key = t * joint + (heads + group) * head;
          for (let k = 0; k < head; k++) scores[t] += cache[query + k] * cache[key + k];
        }
        const weight = softmax(scores, Math.sqrt(head));
        for (let t = 0; t <= place; t++) {
          const value = t * joint + (heads + kvHeads + group) * head;
          for (let k = 0; k < head; k++) mixed[h * head + k] += weight[t] * cache[value + k];
        }
        looks.push(weight);
      }
      return { mixed, looks };
    }

    function step(id, place) {
      let x = rowOf(weights["embedding.weight"], id, Math.sqrt(width)), looks = [];
      const add = new Float32Array(width);
      for (let l = 0; l < layers; l++) {
        const of = (name) => weights[`blocks.${l}.${name}`];
        product(of("attention.query_key_value.weight"), normed(x, of("attention_norm.gain")), caches[l], place * joint);
        turn(caches[l], place);
        const found = attend(caches[l], place);
        looks = found.looks;
        product(of("attention.output.weight"), found.mixed, add);
        x = x.map((each, j) => each + add[j]);
        const wide = new Float32Array(of("feed_forward.gate_up.weight").rows), hidden = wide.length / 2;
        product(of("feed_forward.gate_up.weight"), normed(x, of("feed_forward_norm.gain")), wide);
        product(of("feed_forward.down.weight"), Float32Array.from({ length: hidden }, (_, k) => wide[k] * sigmoid(wide[k]) * wide[hidden + k]), add);
        x = x.map((each, j) => each + add[j]);
      }
      const logits = new Float32Array(vocabulary);
      product(weights["embedding.weight"], normed(x, weights["final_norm.gain"]), logits, 0, weights.output_bias);
      return { logits, looks: looks[0].map((_, t) => looks.reduce((sum, weight) => sum + weight[t], 0) / heads) };
    }
    return { step, context };
  };
});
