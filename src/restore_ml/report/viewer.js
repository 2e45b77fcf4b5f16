"use strict";
// The viewer: any two pictures of a sample at the same place and size, one over the other up to a line that is dragged.
const Viewer = (() => {
  const dialog = document.getElementById("viewer"), stage = document.getElementById("stage");
  const pair = stage.querySelector(".pair"), over = stage.querySelector(".over"), under = stage.querySelector(".under");
  const range = document.getElementById("cut"), name = document.getElementById("viewer-name");
  const left = document.getElementById("left"), right = document.getElementById("right");
  const ZOOMS = [1, 2, 3, 4, 6, 8, 12, 16];
  const clock = dialog.querySelector(".frames"), clips = dialog.querySelector(".of-clips");
  const film = Film.controls(stage, document.getElementById("frame"), clock.querySelector("button"), clock.querySelector("output"));
  let shots = [], sizes = [1, 1], zoom = 0, truthHeld = false, turn = () => null, address = () => "";

  // `shots`: [{key, label, src, figures}], `step(by)`: the neighbouring picture's arguments for `open`, or null;
  // `page(left, right)`: the address of the page that compares the two down to their pixels.
  function open(title, width, height, given, leftKey, rightKey, step, page) {
    [shots, sizes, turn, address] = [given, [width, height], step, page];
    name.textContent = title;
    for (const select of [left, right]) {
      select.replaceChildren(...shots.map((shot) => new Option(shot.label, shot.key)));
    }
    left.value = shots.some((shot) => shot.key === leftKey) ? leftKey : shots[0].key;
    right.value = shots.some((shot) => shot.key === rightKey) ? rightKey : shots[shots.length - 1].key;
    if (!dialog.open) {
      dialog.showModal();
      moveTo(50);
      range.focus();
    }
    const frames = Math.max(...shots.map((one) => one.frames || 1));
    clock.hidden = clips.hidden = frames === 1;
    film.begin(frames, Math.floor(frames / 2));
    draw();
    size();
  }
  const shot = (key) => shots.find((entry) => entry.key === key);
  function draw() {
    for (const [image, select] of [[over, left], [under, right]]) {
      const one = shot(select === right && truthHeld ? "truth" : select.value) || shots[0];
      image.src = one.src;
      Film.fit(image.parentElement, one.frames || 1);
      image.alt = `${one.label}, ${select === left ? "left" : "right"} of the line`;
      select.parentElement.querySelector("small").textContent = one.figures;
    }
    document.getElementById("two").href = address(left.value, right.value);
    film.show();
  }
  function moveTo(percent) {
    const value = Math.min(100, Math.max(0, percent));
    range.value = value;
    range.setAttribute("aria-valuetext", `${Math.round(value)} percent`);
    pair.style.setProperty("--cut", `${value}%`);
  }
  // `fit` is the largest size that fits; from there on whole screen pixels for each pixel of the picture.
  function size() {
    const fit = Math.min(stage.clientWidth / sizes[0], stage.clientHeight / sizes[1]);
    const steps = [fit, ...ZOOMS.filter((factor) => factor > fit * 1.05)];
    zoom = Math.min(zoom, steps.length - 1);
    const before = pair.offsetWidth || 1, factor = steps[zoom];
    const middle = [(stage.scrollLeft + stage.clientWidth / 2) / before, (stage.scrollTop + stage.clientHeight / 2) / (pair.offsetHeight || 1)];
    pair.style.width = `${Math.floor(sizes[0] * factor)}px`;
    pair.style.height = `${Math.floor(sizes[1] * factor)}px`;
    stage.classList.toggle("zoomed", zoom > 0);
    stage.scrollTo(middle[0] * pair.offsetWidth - stage.clientWidth / 2, middle[1] * pair.offsetHeight - stage.clientHeight / 2);
    document.getElementById("zoom").textContent = zoom ? `${factor}×` : "fit";
    dialog.querySelector("[data-zoom='1']").disabled = zoom === steps.length - 1;
    dialog.querySelector("[data-zoom='-1']").disabled = zoom === 0;
  }
  function flip(by) {
    const place = shots.findIndex((entry) => entry.key === right.value);
    right.value = shots[(place + by + shots.length) % shots.length].key;
    draw();
  }
  function neighbour(by) {
    const next = turn(by);
    if (next) open(...next(left.value, right.value));
  }

  range.addEventListener("input", () => moveTo(Number(range.value)));
  left.addEventListener("change", draw);
  right.addEventListener("change", draw);
  addEventListener("resize", () => dialog.open && size());
  dialog.addEventListener("close", film.stop);
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === dialog || (button && "close" in button.dataset)) dialog.close();
    else if (button && button.dataset.zoom) { zoom = Math.max(0, zoom + Number(button.dataset.zoom)); size(); }
  });
  // Dragging moves the line; on a zoomed picture it moves the picture, and the line by its handle.
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    const line = zoom === 0 || event.target.closest(".cut");
    if (event.button || (!line && event.pointerType === "touch")) return;
    drag = line ? { line } : { x: event.clientX + stage.scrollLeft, y: event.clientY + stage.scrollTop };
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
    follow(event);
  });
  function follow(event) {
    if (!drag) return;
    const box = pair.getBoundingClientRect();
    if (drag.line) moveTo(100 * (event.clientX - box.left) / box.width);
    else stage.scrollTo(drag.x - event.clientX, drag.y - event.clientY);
  }
  stage.addEventListener("pointermove", follow);
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { drag = null; });

  const keys = {
    ArrowLeft: () => moveTo(Number(range.value) - 2), ArrowRight: () => moveTo(Number(range.value) + 2),
    ArrowUp: () => flip(-1), ArrowDown: () => flip(1), n: () => neighbour(1), p: () => neighbour(-1),
    "+": () => { zoom += 1; size(); }, "=": () => { zoom += 1; size(); }, "-": () => { zoom = Math.max(0, zoom - 1); size(); },
    ",": () => film.step(-1), ".": () => film.step(1),
    " ": () => { truthHeld = true; draw(); },
  };
  dialog.addEventListener("keydown", (event) => {
    const typing = event.target.closest("select") || (event.key === " " && event.target.closest("button"));
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  dialog.addEventListener("keyup", (event) => {
    if (event.key === " " && truthHeld) { event.preventDefault(); truthHeld = false; draw(); }
  });
  return { open };
})();
