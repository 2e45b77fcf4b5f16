"use strict";
// The leaderboard: choose a heading to sort by it, again to turn the order round; rows without a figure stay last.
for (const button of document.querySelectorAll(".board thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const falls = head.getAttribute("aria-sort") !== "descending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[head.cellIndex];
      return cell && cell.dataset.value ? Number(cell.dataset.value) : NaN;
    };
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b);
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return falls ? y - x : x - y;
    });
    body.append(...rows);
  });
}
