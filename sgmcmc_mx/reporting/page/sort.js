"use strict";
// A click, or Enter or Space, on the head of a column sorts its table; once more turns it round. Numbers come before
// texts, and rows that are equal keep their order.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.cells[column], value = cell.dataset.value;
      return value === undefined ? cell.textContent : Number(value);
    };
    const before = (a, b) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return down ? -order : order;
    };
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort((a, b) => before(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
  });
}
