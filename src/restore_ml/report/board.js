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
// Which rows are shown: those whose run or method holds what is typed, and of each method all runs or the best.
(() => {
  const find = document.getElementById("find-run"), group = document.getElementById("group");
  const boards = [...document.querySelectorAll(".board")].map((table) => [table, [...table.tBodies[0].rows]]);
  function filter() {
    const text = find.value.trim().toLowerCase();
    for (const [table, ranked] of boards) { // in the order of the ranks, however the table is sorted now
      const seen = new Set();
      let shown = 0;
      for (const row of ranked) {
        const { run, method, kind } = row.dataset, again = group.value === "best" && seen.has(method);
        const other = group.value.startsWith("kind:") && group.value.slice(5) !== kind;
        seen.add(method);
        row.hidden = again || other || !(run.toLowerCase().includes(text) || method.toLowerCase().includes(text));
        if (row.dataset.pinned !== undefined && !text) row.hidden = false; // the baseline stays in sight
        shown += row.hidden ? 0 : 1;
      }
      table.dataset.shown = shown < ranked.length ? `${shown} of ${ranked.length} runs` : "";
    }
    say();
  }
  function say() {
    const open = boards.map(([table]) => table).find((table) => !table.closest("[data-case]").hidden);
    document.getElementById("rows").textContent = open ? open.dataset.shown || "" : "";
  }
  find.addEventListener("input", filter);
  group.addEventListener("change", filter);
  document.getElementById("case").addEventListener("change", () => setTimeout(say));
})();
