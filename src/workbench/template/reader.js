// What a page does for its reader: code folded by one switch, the section in view marked, a model's record at its name.
// Without it everything is there, and open.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  codeSwitch();
  contents();
  records();
});

// One switch for all code of a page, remembered from page to page where the browser lets files remember.
function codeSwitch() {
  const cells = [...document.querySelectorAll("details.code")];
  const button = document.querySelector("button.switch");
  if (!button) return;
  if (cells.length === 0) return button.remove();
  const remember = value => { try { localStorage.setItem("wider-clip-code", value); } catch { /* a file may not */ } };
  const remembered = () => { try { return localStorage.getItem("wider-clip-code"); } catch { return null; } };
  const set = open => {
    for (const cell of cells) cell.open = open;
    button.setAttribute("aria-pressed", String(open));
    button.textContent = open ? "Hide code" : "Show code";
  };
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-pressed") !== "true";
    set(open);
    remember(open ? "shown" : "hidden");
  });
  const kept = remembered();
  set(kept === null ? cells[0].open : kept === "shown");
}

// The heading that was passed last is the section in view.
function contents() {
  const links = [...document.querySelectorAll(".contents a")];
  const marks = links.map(link => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  if (links.length === 0) return;
  const mark = () => {
    let at = -1;
    marks.forEach((heading, i) => { if (heading && heading.getBoundingClientRect().top < 120) at = i; });
    links.forEach((link, i) => { if (i === at) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current"); });
  };
  let waiting = false;
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();
}

// A model's name in a row's head, or its id in the text, shows its record: under a pointer, with the keyboard, by a tap.
function records() {
  const models = window.widerClipModels;
  if (!models) return;
  const byName = new Map();
  for (const model of models) for (const name of [model.name, model.id]) byName.set(name, model);
  let card = null;
  const hide = () => { if (card) card.remove(); card = null; };
  const show = (place, model) => {
    hide();
    card = document.createElement("div");
    card.className = "record";
    card.setAttribute("role", "tooltip");
    card.id = "model-record";
    const name = document.createElement("strong");
    name.textContent = model.name;
    card.append(name);
    const list = document.createElement("dl");
    for (const [term, value] of model.facts) {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = term;
      dd.textContent = value;
      list.append(dt, dd);
    }
    card.append(list);
    document.body.append(card);
    const box = place.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - card.offsetWidth - 8);
    const below = box.bottom + 6 + card.offsetHeight <= window.innerHeight;
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - 6 - card.offsetHeight)}px`;
    place.setAttribute("aria-describedby", card.id);
  };
  for (const place of document.querySelectorAll("th[scope=row], .prose code, .choice-map strong")) {
    const model = byName.get(place.textContent.trim());
    if (!model) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "model";
    button.append(...place.childNodes);
    place.append(button);
    button.addEventListener("mouseenter", () => show(button, model));
    button.addEventListener("mouseleave", hide);
    button.addEventListener("focus", () => show(button, model));
    button.addEventListener("blur", hide);
    button.addEventListener("click", () => show(button, model));
  }
  document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
  window.addEventListener("scroll", hide, { passive: true });
}
