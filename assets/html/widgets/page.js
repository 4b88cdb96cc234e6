// The contents follow the reader; on a phone they are folded, and fold again where a line of them was chosen.

const contents = document.querySelector("nav#TOC > details");

function follow() {
  const links = new Map([...contents.querySelectorAll("a[href^='#']")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
  const headings = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  let marked = null;
  let waiting = false;
  function mark() {
    waiting = false;
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < 0.25 * innerHeight);
    const link = links.get((passed.at(-1) ?? headings[0]).id);
    if (link === marked) return;
    marked?.removeAttribute("aria-current");
    marked = link;
    marked.setAttribute("aria-current", "true");
    const nav = contents.parentElement;
    const { top, bottom } = marked.getBoundingClientRect();
    const box = nav.getBoundingClientRect();
    if (top < box.top || bottom > box.bottom) nav.scrollTop += top - box.top - box.height / 2; // never the page itself
  }
  const later = () => { if (!waiting) { waiting = true; requestAnimationFrame(mark); } };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  mark();
}

if (contents) {
  const narrow = matchMedia("(max-width: 50rem)");
  const fold = () => { contents.open = !narrow.matches; };
  fold();
  narrow.addEventListener("change", fold);
  contents.addEventListener("click", (event) => { if (narrow.matches && event.target.closest("a")) contents.open = false; });
  follow();
}

// What scrolls inside its own box (wide code, tables, formulas) can be scrolled by keyboard.
function reachable() {
  for (const box of document.querySelectorAll("main pre, figure > [aria-describedby], main p, .passage-detail, .equation > *")) {
    const wider = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    if (wider && getComputedStyle(box).overflowX === "auto") box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("load", () => document.fonts.ready.then(reachable)); // the fonts decide how wide a table is
addEventListener("resize", reachable);
document.addEventListener("toggle", reachable, true); // a fold that opens

// What goes beyond the assignment is folded, a section at a time; a link, a search or paper opens it.
function foldBeyond() {
  const heads = [];
  for (let node = document.getElementById("sec-beyond")?.nextElementSibling; node && node.tagName !== "H1"; node = node.nextElementSibling) {
    if (node.tagName === "H2" && node.id !== "sec-live") heads.push(node); // the models can be asked at once
  }
  for (const head of heads) {
    const fold = document.createElement("details");
    fold.className = "beyond";
    const summary = document.createElement("summary");
    summary.textContent = "نشان دادن این بخش";
    summary.setAttribute("aria-label", `نشان دادن بخش ${head.textContent}`);
    fold.append(summary);
    while (head.nextElementSibling && !head.nextElementSibling.matches("h1, h2")) fold.append(head.nextElementSibling);
    head.after(fold);
  }
  const unfold = () => {
    const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    const next = target?.nextElementSibling;
    const fold = target?.closest("details.beyond") ?? (next?.matches("details.beyond") ? next : null);
    if (fold && !fold.open) { fold.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => { // a second click on the same link changes no hash
    if (event.target.closest?.("a[href^='#']")) setTimeout(unfold);
  });
  unfold();
}
foldBeyond();

// Drawings turn dark with the page. Pictures of pixels do not, nor those of which the text says what is darker.
for (const image of document.querySelectorAll("main figure img[src^='data:image/svg+xml;base64,']")) {
  if (!atob(image.src.split(",")[1]).includes("<image") && !/تیره/.test(image.alt)) image.classList.add("drawing");
}

// A heading of a column that is a formula alone has a name too: its TeX.
document.querySelectorAll("th math").forEach((math) => math.setAttribute("aria-label", math.querySelector("annotation")?.textContent ?? ""));

// Paper cannot unfold: what is folded is printed open.
addEventListener("beforeprint", () => document.querySelectorAll("details.code-fold, details.beyond").forEach((fold) => { fold.open = true; }));
