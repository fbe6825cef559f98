// What the pages do beyond links and forms: keys, ticking times. Nothing here is needed to do anything.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")];
  // What can be done, not the ways from view to view that stand among it.
  const ACTS = ["a[href^='/change/']", "a[href*='/mend/']", "a[href='#mended']", "button[formaction]:not(:disabled)", "button[name=check]:not(:disabled)"]
    .map((act) => `.acts ${act}`)
    .join();
  const act = () => document.querySelector(ACTS) ?? document.querySelector("main a[href^='/change/'], main button.primary");
  let current = -1;

  function go(step) {
    const all = rows();
    if (!all.length) return;
    current = Math.min(Math.max(current + step, 0), all.length - 1);
    all.forEach((row, index) => row.classList.toggle("current", index === current));
    const target = all[current].querySelector("a.open, input[type=checkbox], a");
    if (target) target.focus();
    all[current].scrollIntoView({ block: "nearest" });
  }

  // What these keys write where the keyboard is a Russian one; its key of / writes a dot.
  const RUSSIAN = { о: "j", л: "k", ч: "x", у: "e", ю: "." };
  const SLASH = { ".": "/", ",": "?" };
  const pressed = (event) => (event.code === "Slash" ? SLASH[event.key] : RUSSIAN[event.key]) ?? event.key;

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    x: () => rows()[current]?.querySelector("input[type=checkbox]")?.click(),
    e: () => (rows()[current]?.querySelector(ACTS) ?? act())?.focus(),
    ".": () => act()?.focus(),
    "/": () => {
      const box = document.querySelector("input[type=search]");
      if (box) box.focus();
      else location.assign("/find");
    },
    "?": () => location.assign("/keys"),
  };

  document.addEventListener("keydown", (event) => {
    if ((event.metaKey || event.ctrlKey) && pressed(event) === "k") {
      event.preventDefault();
      keys["/"]();
      return;
    }
    const ticked = event.target.matches("input[type=checkbox]") && event.target.closest("[data-row]");
    if (ticked && event.key === "Enter") {
      event.preventDefault(); // browsers would send the list's form, as its first button does
      ticked.querySelector("a.open")?.click();
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const wanted = keys[pressed(event)];
    if (wanted) {
      const row = event.target.closest("[data-row]"); // whoever came here by Tab is in another row than the keys were
      if (row) current = rows().indexOf(row);
      event.preventDefault();
      wanted();
    }
  });

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = button.dataset.copied;
      } catch {
        getSelection().selectAllChildren(button.previousElementSibling); // the browser forbids it: keys can copy what is marked
      }
    });
  }

  for (const slider of document.querySelectorAll(".slider input[type=range]")) {
    const moments = slider.list ? [...slider.list.options] : [];
    slider.addEventListener("input", () => {
      const said = moments[Number(slider.value)]?.label ?? "";
      slider.form.querySelector("output").textContent = `${Number(slider.value) + 1} / ${moments.length} · ${said}`;
      slider.setAttribute("aria-valuetext", said);
    });
    slider.addEventListener("change", () => slider.form.requestSubmit());
  }

  function tick() {
    for (const element of document.querySelectorAll("[data-until]")) {
      const left = Math.round((Date.parse(element.dataset.until) - Date.now()) / 1000);
      const [size, sign] = [Math.abs(left), left < 0 ? "−" : ""];
      const parts = [Math.floor(size / 3600), Math.floor(size / 60) % 60, size % 60].slice(size < 3600 ? 1 : 0);
      element.textContent = sign + parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
    }
  }
  tick();
  setInterval(tick, 1000);

  // htmx looks through the page before its extension is there, where that script comes late: without this, no news ever would.
  document.addEventListener("DOMContentLoaded", () => htmx.process(document.body));
})();
