// Runs the page's engine under Node: {scripts, content, asks: [[name, ...values], …]} comes in, the answers go out, as JSON.
const { scripts, content, asks } = JSON.parse(require("fs").readFileSync(0, "utf8"));
globalThis.report = {};
globalThis.self = globalThis;
for (const script of scripts) require(script);
for (const part of report.worker) part();

(async () => {
  const { asked } = self.engine, answers = [];
  asked.draws = (seed, places) => places.map((place) => self.engine.uniform(seed, place));
  asked.choose = self.engine.choose;
  asked.bytesOf = self.engine.bytesOf;
  await asked.open(content);
  for (const [name, ...values] of asks) answers.push(await asked[name](...values));
  process.stdout.write(JSON.stringify(answers, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value === -Infinity ? "-inf" : value)));
})();
