"use strict";
// Tables: a click on a heading sorts by that column, another click the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
    const compare = (a, b) => a !== "" && b !== "" && isFinite(a) && isFinite(b) ? a - b : a.localeCompare(b);
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(value(a), value(b)));
    body.append(...(up ? rows : rows.reverse()));
  }));
}
// Class averages: largest first, but numbers in their order.
for (const sorts of document.querySelectorAll(".sorts")) {
  const pairs = sorts.closest("details").querySelector(".pairs");
  for (const button of sorts.querySelectorAll("button")) button.addEventListener("click", () => {
    for (const other of sorts.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    const key = button.dataset.key, sign = key === "number" ? 1 : -1;
    pairs.append(...[...pairs.children].sort((a, b) => sign * (a.dataset[key] - b.dataset[key])));
  });
}
// Maps: the same slice, level and view of all; dragging a surface turns them.
for (const viewer of document.querySelectorAll(".viewer")) {
  const [slice, level, turn] = ["slice", "level", "turn"].map((name) => viewer.querySelector("input." + name));
  const buttons = [...viewer.querySelectorAll(".controls button")];
  const slices = Number(viewer.dataset.slices), views = Number(viewer.dataset.views);
  const part = (value, count) => count > 1 ? (100 * value) / (count - 1) + "%" : "0%";
  const show = () => {
    const axis = buttons.find((button) => button.getAttribute("aria-pressed") === "true").dataset.axis;
    for (const sheet of viewer.querySelectorAll(".sheet")) {
      sheet.hidden = sheet.dataset.axis !== axis;
      sheet.style.backgroundPosition = "0 " + part(slice.value, slices);
    }
    for (const surface of viewer.querySelectorAll(".surface"))
      surface.style.backgroundPosition = part(turn.value, views) + " " + part(level.value, 3);
  };
  for (const button of buttons) button.addEventListener("click", () => {
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    show();
  });
  for (const input of [slice, level, turn]) input.addEventListener("input", show);
  for (const surface of viewer.querySelectorAll(".surface")) {
    let from = null;
    surface.addEventListener("pointerdown", (event) => { from = [event.clientX, Number(turn.value)]; surface.setPointerCapture(event.pointerId); });
    surface.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const moved = Math.round((event.clientX - from[0]) / surface.clientWidth * views);
      turn.value = ((from[1] - moved) % views + views) % views;
      show();
    });
    for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, () => { from = null; });
  }
  show();
}
// Maps of all iterations: a slider shows one of them in place of folded rows, the newest at its right end.
for (const slider of document.querySelectorAll("input.iterations")) {
  const rows = [...slider.closest("section").querySelectorAll("details.row")].reverse();
  const show = () => rows.forEach((row, number) => {
    row.hidden = number !== Number(slider.value);
    row.open = row.open || !row.hidden;
  });
  slider.addEventListener("input", show);
  slider.closest(".controls").hidden = false;
  show();
}
// Printed, everything is unfolded but the log.
addEventListener("beforeprint", () => {
  for (const row of document.querySelectorAll("details.row")) row.hidden = false;
  for (const item of document.querySelectorAll("details:not(#log-lines)")) item.open = true;
});
// A live page loads itself anew; what was folded or unfolded stays so.
if (document.body.dataset.running === "1") {
  const key = "open:" + location.pathname;
  let saved = null;
  try { saved = JSON.parse(sessionStorage.getItem(key)); } catch { saved = null; }
  if (saved) for (const item of document.querySelectorAll("details[id]")) if (item.id in saved) item.open = saved[item.id];
  const written = new Date(document.getElementById("written").dateTime);
  document.getElementById("silent").hidden = !((Date.now() - written) / 1000 > document.body.dataset.silence);
  setTimeout(() => {
    const state = {};
    for (const item of document.querySelectorAll("details[id]")) state[item.id] = item.open;
    try { sessionStorage.setItem(key, JSON.stringify(state)); } catch { /* a page without storage folds anew */ }
    location.reload();
  }, 1000 * document.body.dataset.refresh);
}
