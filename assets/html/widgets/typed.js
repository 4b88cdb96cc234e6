// Typed text in the form that the models were taught: the rules of `text/characters.py` for letters and digits, and those of hazm
// for spaces and half-spaces that need no list of words. What takes hazm's lists (which two words are one) is left as typed.

/** A function from typed text to { text, changes: [[name of the rule, how often], …] }; the classes come from the page. */
function typed({ alike, marks, latin, arabic }) {
  const AFTER = "\\.:!،؛؟»\\])}", BEFORE = "«\\[({", END = `(?=[ \\n${AFTER}${BEFORE}]|$)`, HALF = "\u200c";
  const hasLatin = new RegExp(`[${latin}]`);
  const persian = (text) => text.replace(/[0-9٠-٩]/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit.charCodeAt(0) & 15]);
  const rules = [
    ["نویسهٔ نادیدنی", /[\u200d-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd\u00ad]/g, ""],
    ...Object.entries(alike).map(([letter, others]) => ["حرف عربی", new RegExp(`[${others}]`, "g"), letter]),
    ["همزهٔ آغاز واژه", new RegExp(`(?<![${arabic}${HALF}])أ`, "g"), "ا"],
    ["اعراب", new RegExp(`[${marks}]`, "g"), ""],
    ["کشیده", /ـ/g, ""],
    ["رقم", new RegExp(`[${latin}0-9](?:[${latin}0-9]|[-_^.](?=[${latin}0-9]))*|[٠-٩]+`, "g"), (number) => (hasLatin.test(number) ? number : persian(number))],
    ["نشانه", /[,;?%]/g, (mark) => ({ ",": "،", ";": "؛", "?": "؟", "%": "٪" })[mark]],
    ["گیومه", /["“”„]([^"“”„\n]+)["“”„]/g, "«$1»"],
    ["فاصله", /[ \t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+/g, " "],
    ["فاصله", new RegExp(` (?=[${AFTER}])`, "g"), ""],
    ["فاصله", new RegExp(`(?<=[${BEFORE}]) `, "g"), ""],
    ["فاصله", new RegExp(`([،؛؟!:»\\])}]|(?<![۰-۹.])\\.)(?=[^ \\n.${AFTER}])`, "g"), "$1 "],
    ["فاصله", new RegExp(`([^ \\n${BEFORE}])(?=[${BEFORE}])`, "g"), "$1 "],
    ["نیم‌فاصله", new RegExp(`${HALF}{2,}`, "g"), HALF],
    ["نیم‌فاصله", new RegExp(` ${HALF}+|${HALF}+ |${HALF}+$|^${HALF}+`, "g"), (found) => (found.includes(" ") ? " " : "")],
    ["نیم‌فاصله", /(?<=^| )(ن?می) (?! )/g, `$1${HALF}`],
    ["نیم‌فاصله", new RegExp(`(?<=[^\\n۰-۹ ${AFTER}${BEFORE}]{2}) (تر(?:ین?)?|گری?|های?)${END}`, "g"), `${HALF}$1`],
    ["نیم‌فاصله", new RegExp(`(?<=[^ ]ه) (ا(?:م|یم|ش|ند|ی|ید|ت))(?=[ \\n${AFTER}]|$)`, "g"), `${HALF}$1`],
    ["نیم‌فاصله", /(?<=[^ ]ه) ی /g, `${HALF}ی `],
    ["نیم‌فاصله", /ه(?=ها)/g, `ه${HALF}`],
    ["فاصله", /^ +| +$| +(?=\n)|(?<=\n) +/g, ""],
  ];
  return (given) => {
    const changes = new Map();
    const text = rules.reduce((before, [name, pattern, form]) => before.replace(pattern, (...found) => {
      const old = found[0], now = typeof form === "function" ? form(old) : form.replace("$1", () => found[1]);
      if (old !== now) changes.set(name, (changes.get(name) ?? 0) + 1);
      return now;
    }), given.normalize("NFC"));
    return { text, changes: [...changes] };
  };
}

globalThis.report.typed = typed;
