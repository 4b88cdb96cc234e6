// Light or dark: the reader's system decides until the button does; the choice is remembered. A classic script in the
// head, so that the page is never painted in the wrong colours first. Without scripts the system decides.
(() => {
  const KEY = "genmodels-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } }; // no storage: not remembered
  const remember = (name) => { try { localStorage.setItem(KEY, name); } catch { /* as above */ } };
  const current = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

  function apply(name) {
    if (name === "light" || name === "dark") root.dataset.theme = name;
    root.classList.toggle("dark", current() === "dark");
  }

  function button() {
    const toggle = document.createElement("button");
    toggle.type = "button";
    toggle.className = "theme-toggle";
    toggle.setAttribute("aria-label", "نمای تیره");
    toggle.title = "نمای روشن یا تیره";
    toggle.innerHTML = '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9"/><path d="M12 3a9 9 0 0 1 0 18z"/></svg>';
    const show = () => toggle.setAttribute("aria-pressed", String(current() === "dark"));
    toggle.addEventListener("click", () => {
      const name = current() === "dark" ? "light" : "dark";
      apply(name);
      remember(name);
      show();
    });
    system.addEventListener("change", () => { apply(); show(); });
    show();
    document.getElementById("title-block-header")?.append(toggle);
  }

  apply(stored());
  addEventListener("DOMContentLoaded", button);
})();
