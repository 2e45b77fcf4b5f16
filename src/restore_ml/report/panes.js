"use strict";
// Panes that look at the same place of pictures of one size: drawn, moved by mouse and fingers, zoomed to single pixels.
// `canvases`: of the panes a, b, difference and spectrum; `seen`: by pane, the canvas with the pixels that it shows;
// `swipe`: {on(), cut(), set(percent)}, whether a is shown over b up to a line, and where; `drawn()` is told after each
// drawing.
function Panes(room, canvases, seen, swipe, drawn) {
  const LARGEST = 64; // screen pixels for one of the picture
  const STEPS = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, LARGEST];
  let size = [1, 1], view = null, pointed = null; // without a view all of the picture is seen

  // A pane in CSS pixels, and the scale at which the picture just fits.
  const pane = () => ({ width: canvases.a.clientWidth, height: canvases.a.clientHeight });
  const fit = (canvas = canvases.a) => Math.min(canvas.clientWidth / size[0], canvas.clientHeight / size[1]);
  const whole = () => ({ scale: fit(), x: size[0] / 2, y: size[1] / 2 });
  const most = () => Math.max(LARGEST, fit());
  // The view of a pane: beside a wide swipe the difference has less room, and is smaller by so much.
  const seenBy = (canvas) => {
    const at = view || whole();
    return { ...at, scale: at.scale * fit(canvas) / fit() };
  };
  const isFit = () => !view || view.scale <= fit() * 1.0001;
  function look(next) {
    const scale = Math.min(most(), Math.max(fit(), next.scale));
    view = Pixels.held({ ...next, scale }, pane().width, pane().height, { width: size[0], height: size[1] });
    if (scale === fit()) view = null; // and stays fitted when the window changes
    draw();
  }
  function zoom(scale, about) {
    const old = view || whole();
    look(Pixels.zoomed(old, Math.min(most(), Math.max(fit(), scale)), about || old));
  }
  function step(by) {
    const scale = (view || whole()).scale, steps = STEPS.filter((one) => one > fit() * 1.02);
    const next = by > 0 ? steps.find((one) => one > scale * 1.02) : [...steps].reverse().find((one) => one < scale * 0.98);
    if (next || by < 0) zoom(next || 0, pointed ? { x: pointed.x + 0.5, y: pointed.y + 0.5 } : null);
  }

  function draw() {
    room.classList.toggle("swipe", swipe.on());
    room.classList.toggle("zoomed", !isFit());
    for (const [name, canvas] of Object.entries(canvases)) {
      const width = canvas.clientWidth, height = canvas.clientHeight, ratio = devicePixelRatio || 1;
      if (!width) continue;
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
      const context = canvas.getContext("2d"), at = seenBy(canvas);
      context.scale(ratio, ratio);
      if (name === "spectrum") fitted(context, seen.spectrum, width, height);
      else if (name === "a" && swipe.on()) swiped(context, at, width, height);
      else paint(context, seen[name], at, width, height);
      if (name !== "spectrum") mark(context, at, width, height);
    }
    drawn();
  }
  // A picture at the place where the view has it; one of another size is fitted into the same room.
  function paint(context, source, at, width, height) {
    if (!source) return;
    const own = Math.min(size[0] / source.width, size[1] / source.height);
    const corner = Pixels.toPane(at, width, height, (size[0] - own * source.width) / 2, (size[1] - own * source.height) / 2);
    const ratio = devicePixelRatio || 1, snap = (place) => Math.round(place * ratio) / ratio; // to a screen's pixel
    context.imageSmoothingEnabled = own * at.scale * ratio < 0.999;
    context.imageSmoothingQuality = "high";
    context.drawImage(source, snap(corner.x), snap(corner.y), own * at.scale * source.width, own * at.scale * source.height);
  }
  function fitted(context, source, width, height) {
    if (!source) return;
    const scale = Math.min(width / source.width, height / source.height);
    context.imageSmoothingEnabled = scale < 1;
    context.drawImage(source, (width - scale * source.width) / 2, (height - scale * source.height) / 2, scale * source.width, scale * source.height);
  }
  function swiped(context, at, width, height) {
    const line = width * swipe.cut() / 100;
    paint(context, seen.b, at, width, height);
    context.save();
    context.beginPath();
    context.rect(0, 0, line, height);
    context.clip();
    context.fillStyle = getComputedStyle(canvases.a).backgroundColor;
    context.fillRect(0, 0, line, height);
    paint(context, seen.a, at, width, height);
    context.restore();
    context.fillStyle = "rgb(0 0 0/.6)";
    context.fillRect(line - 2, 0, 4, height);
    context.fillStyle = "#fff";
    context.fillRect(line - 1, 0, 2, height);
  }
  // The pixel that is pointed at, framed in every pane where it is large enough to be seen.
  function mark(context, at, width, height) {
    if (!pointed || at.scale < 4) return;
    const corner = Pixels.toPane(at, width, height, pointed.x, pointed.y);
    context.lineWidth = 1;
    for (const [grow, colour] of [[1.5, "#000"], [0.5, "#fff"]]) {
      context.strokeStyle = colour;
      context.strokeRect(corner.x - grow, corner.y - grow, at.scale + 2 * grow, at.scale + 2 * grow);
    }
  }
  // Fingers and the mouse: one drags (or moves the line of the swipe), two pinch.
  const down = new Map();
  let drags = "", before = null;
  const placeOf = (canvas, event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const under = (canvas, at) => Pixels.toPicture(seenBy(canvas), canvas.clientWidth, canvas.clientHeight, at.x, at.y);
  function point(canvas, event) {
    const at = under(canvas, placeOf(canvas, event)), [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    pointed = x >= 0 && y >= 0 && x < size[0] && y < size[1] ? { x, y } : null;
  }
  const pinch = () => {
    const [one, two] = [...down.values()];
    return { x: (one.x + two.x) / 2, y: (one.y + two.y) / 2, far: Math.max(8, Math.hypot(one.x - two.x, one.y - two.y)) };
  };
  for (const name of ["a", "b", "difference"]) {
    const canvas = canvases[name];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const at = placeOf(canvas, event), line = canvas.clientWidth * swipe.cut() / 100;
      down.set(event.pointerId, at);
      canvas.setPointerCapture(event.pointerId);
      drags = name === "a" && swipe.on() && (isFit() || Math.abs(at.x - line) < 24) ? "line" : "picture";
      before = down.size === 2 ? pinch() : at;
      point(canvas, event);
      draw();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!down.has(event.pointerId)) {
        point(canvas, event);
        draw();
        return;
      }
      down.set(event.pointerId, placeOf(canvas, event));
      const at = down.size > 1 ? pinch() : down.get(event.pointerId), old = view || whole(), { scale } = seenBy(canvas);
      const moved = before && { ...old, x: old.x - (at.x - before.x) / scale, y: old.y - (at.y - before.y) / scale };
      if (down.size > 1 && before.far) {
        view = moved;
        zoom(old.scale * at.far / before.far, under(canvas, at));
      } else if (drags === "line") {
        swipe.set(100 * at.x / canvas.clientWidth);
        draw();
      } else if (!before.far) {
        look(moved);
      }
      point(canvas, event); // another pixel where the edge of the picture held the view back
      draw();
      before = at;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => {
        down.delete(event.pointerId);
        before = [...down.values()][0] || null;
      });
    }
    canvas.addEventListener("pointerleave", () => { if (!down.size) { pointed = null; draw(); } });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const by = Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025));
      zoom((view || whole()).scale * by, under(canvas, placeOf(canvas, event)));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => zoom(isFit() ? Math.max(8, 4 * fit()) : 0, under(canvas, placeOf(canvas, event))));
  }

  // Moves by shares of a pane; the line of the swipe where all is seen.
  function move(x, y) {
    if (isFit() && swipe.on() && x) {
      swipe.set(Number(swipe.cut()) + 2 * Math.sign(x));
      draw();
    } else {
      const old = view || whole();
      look({ ...old, x: old.x + x * pane().width / old.scale, y: old.y + y * pane().height / old.scale });
    }
  }
  // Another picture, of `next` pixels, seen whole.
  function reset(next) {
    [size, view, pointed] = [next, null, null];
  }
  // After the panes changed their room.
  function settle() {
    if (view) look(view); else draw();
  }
  return { draw, zoom, step, move, reset, settle, isFit, scale: () => (view || whole()).scale, pointed: () => pointed, size: () => size };
}
