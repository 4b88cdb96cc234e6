// The engine, part 3: Kneser–Ney from counts (`language/kneser_ney.py`), and what the page asks of a language model. A document
// is a list of ids (<bos> first); one that begins like the last is read from where the two part.

(globalThis.report.worker ??= []).push(function counts() {
  const { asked, choose, inflated, kinds, largest, models, sevens, softmax, uniform } = self.engine;

  kinds.ngram = async ({ vocabulary, discounts, sizes, weights }) => {
    const take = sevens(await inflated(weights));
    const levels = sizes.map(([grams, contexts], k) => {
      let key = 0;
      const keys = take(grams).map((difference) => key += difference), counts = take(grams), totals = take(contexts);
      return { keys, counts, totals, spread: discounts[k] };
    });

    /** The first place in rising `keys` whose key is not below `wanted`. */
    function place(keys, wanted) {
      let low = 0, high = keys.length;
      while (low < high) { const middle = (low + high) >> 1; if (keys[middle] < wanted) low = middle + 1; else high = middle; }
      return low;
    }

    /** ln p of every token after `context`, as logits; <bos> (0) never follows. */
    function distribution(context) {
      const p = new Float64Array(vocabulary).fill(1 / (vocabulary - 1));
      p[0] = 0;
      for (let k = 0; k < Math.min(levels.length, context.length + 1); k++) {
        const { keys, counts, totals, spread } = levels[k];
        let at = 0; // the context's place among the k-grams
        for (const [j, token] of context.slice(context.length - k).entries()) {
          const found = j ? place(levels[j].keys, at * vocabulary + token) : token;
          if (j && levels[j].keys[found] !== at * vocabulary + token) return p.map(Math.log);
          at = found;
        }
        if (!totals[at]) continue;
        const first = place(keys, at * vocabulary), last = place(keys, (at + 1) * vocabulary);
        let kept = 0, own = 0; // what the counts keep after the discount; the rest goes to the lower order
        for (let i = first; i < last; i++) if (counts[i]) kept += counts[i] - spread[Math.min(counts[i], 3) - 1];
        for (let v = 0; v < vocabulary; v++) p[v] *= 1 - kept / totals[at];
        for (let i = first; i < last; i++) if ((own = counts[i])) p[keys[i] - at * vocabulary] += (own - spread[Math.min(own, 3) - 1]) / totals[at];
      }
      return p.map(Math.log);
    }
    const read = [];
    return { step: (id, place) => { read[place] = id; read.length = place + 1; return { logits: distribution(read.slice(1 - levels.length)) }; }, context: Infinity };
  };

  /** What a model knows at the end of `ids`: logits, where it looked from each place, and the losses of ids 1 …. A sequence
      that outgrows the context forgets its older half, as in `language/generation.py`. */
  function read(model, ids) {
    let start = 0;
    for (let length = 1; length <= ids.length; length++) if (length - start > model.context) start = length - Math.max(1, model.context >> 1);
    if (start !== model.start) Object.assign(model, { start, seen: [], told: [] });
    const window = ids.slice(start);
    let same = 0;
    while (same < window.length && same < model.seen.length && window[same] === model.seen[same]) same++;
    model.seen = window.slice();
    for (let place = same; place < window.length; place++) {
      model.told[place] = model.step(window[place], place);
      const p = softmax(model.told[place].logits);
      model.told[place].losses = (id) => -Math.log(p[id]);
    }
    return model.told.slice(0, window.length);
  }

  asked.read = (name, ids) => {
    const told = read(models[name], ids), p = softmax(told.at(-1).logits), { start } = models[name];
    return {
      start, likeliest: largest(p, 10).map((id) => [id, p[id]]), looks: told.map(({ looks }) => looks),
      losses: told.slice(0, -1).map(({ losses }, place) => losses(ids[start + place + 1])),
    };
  };
  asked.logits = (name, ids) => read(models[name], ids).at(-1).logits; // for the tests
  asked.next = (name, ids, settings, seed, place) => choose(read(models[name], ids).at(-1).logits, uniform(seed, place), settings);
});
