// Sorting and filtering of the board. Without it all rows stand there, in the order of the study's tables.
"use strict";
const table = document.querySelector("table.board");
const body = table.tBodies[0];
const rows = [...body.rows];
const form = document.querySelector("form.filters");
const shown = document.getElementById("shown");

function filter() {
  const text = form.elements.text.value.trim().toLowerCase();
  const chosen = [...form.querySelectorAll("select")].map((select) => [Number(select.dataset.column), select.value]);
  let count = 0;
  for (const row of rows) {
    const fits = chosen.every(([column, value]) => value === "" || row.cells[column].textContent === value);
    row.hidden = !fits || !(text === "" || row.textContent.toLowerCase().includes(text));
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = `${count} of ${rows.length} numbers`;
}

// By what a cell sorts: its number where it has one; empty cells last, whichever way.
function sort(column, button) {
  const header = button.closest("th");
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const numeric = header.classList.contains("number");
  const value = (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent;
    return numeric ? (text === "" ? NaN : Number(text)) : text;
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (numeric) {
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return down ? y - x : x - y;
    }
    return down ? y.localeCompare(x) : x.localeCompare(y);
  };
  body.append(...rows.sort(compare));
}

[...table.tHead.rows[0].cells].forEach((cell, column) => {
  const button = cell.querySelector("button");
  button.addEventListener("click", () => sort(column, button));
});
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
