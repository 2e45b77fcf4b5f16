"use strict";
// Hints on a grey picture: dabs of colour by mouse, finger or keys and strokes by dragging, sent to the server that this
// page came from. What is sent are the picture's own bytes (of a picture in colour its grey), the points of all dabs and
// the strokes, over which the points lie. A dab is { x, y, side, colour }, a stroke { line: [[x, y], ...], side, colour }.
const Hints = (() => {
  const MOST = 10000; // points that the server takes in one file, and as many in strokes
  const GRID = 256; // the server colours at this shorter side, so points need not lie closer than its pixels
  const levels = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  const stepOf = (width, height) => Math.max(1, Math.floor(Math.min(width, height) / GRID));
  // The points of a dab: a square about its middle, cut off at the edges, a point for each pixel of the server's grid.
  function points(dab, width, height) {
    const step = stepOf(width, height), half = Math.floor(dab.side / 2), found = [];
    for (let y = dab.y - half * step; y <= dab.y + (dab.side - 1 - half) * step; y += step) {
      for (let x = dab.x - half * step; x <= dab.x + (dab.side - 1 - half) * step; x += step) {
        if (x >= 0 && y >= 0 && x < width && y < height) found.push({ x, y, colour: levels(dab.colour) });
      }
    }
    return found;
  }
  function file(dabs, width, height) {
    const places = new Map(); // a later dab covers an earlier one
    for (const dab of dabs.filter(({ line }) => !line)) for (const point of points(dab, width, height)) places.set(`${point.x} ${point.y}`, point);
    const strokes = dabs.filter(({ line }) => line).map(({ line, side, colour }) => (
      { points: line, width: side * stepOf(width, height), colour: levels(colour) }));
    return { points: [...places.values()], ...(strokes.length ? { strokes } : {}) };
  }
  const tooMany = ({ points: all, strokes = [] }) => all.length > MOST || strokes.reduce((sum, one) => sum + one.points.length, 0) > MOST;
  const body = (image, hints) => ({ dataframe_records: [hints.points.length || hints.strokes ? { image, points: JSON.stringify(hints) } : { image }] });
  const y601 = (red, green, blue) => Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  return { MOST, stepOf, points, file, tooMany, body, y601 };
})();

if (typeof document !== "undefined") (() => {
  const by = (id) => document.getElementById(id), form = by("setup"), fields = form.elements;
  const canvas = by("grey"), pen = canvas.getContext("2d", { willReadFrequently: true });
  const served = Boolean(by("go")), FARTHER = 10;
  let picture = null; // { image: base64, grey: a bitmap, width, height }
  let dabs = [], cross = null, drag = null, asked = 0, busy = false, waiting = false, address = "";

  function say(sentence) { by("said").textContent = sentence; }
  function complain(sentence) { by("wrong").textContent = sentence; by("wrong").hidden = !sentence; }

  const bytes = (blob) => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

  async function take(chosen) {
    complain("");
    let shown = null;
    try {
      shown = await createImageBitmap(chosen);
    } catch {
      complain(`${chosen.name} is no picture that this browser can show; choose a PNG, JPEG, WebP or BMP file.`);
      fields.picture.value = "";
      return;
    }
    const sheet = Object.assign(document.createElement("canvas"), { width: shown.width, height: shown.height });
    const brush = sheet.getContext("2d", { willReadFrequently: true });
    brush.drawImage(shown, 0, 0);
    const all = brush.getImageData(0, 0, sheet.width, sheet.height), data = all.data;
    let coloured = false;
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) coloured = true;
      data[at] = data[at + 1] = data[at + 2] = Hints.y601(data[at], data[at + 1], data[at + 2]);
    }
    brush.putImageData(all, 0, 0);
    const own = coloured ? await new Promise((resolve) => { sheet.toBlob(resolve, "image/png"); }) : chosen;
    picture = { image: await bytes(own), grey: sheet, width: sheet.width, height: sheet.height };
    asked += 1; // an answer about the picture of before is not shown
    dabs = [];
    drag = null;
    cross = { x: Math.floor(picture.width / 2), y: Math.floor(picture.height / 2) };
    Object.assign(canvas, { width: picture.width, height: picture.height, hidden: false });
    if (served) { by("coloured").hidden = true; by("result").hidden = true; }
    say(`${picture.width} x ${picture.height} pixels.${coloured ? " The picture is in colour: it was turned to grey first (0.299 R + 0.587 G + 0.114 B)." : ""} Click where a colour belongs, or drag.`);
    draw();
  }

  function paint() {
    if (picture) {
      pen.drawImage(picture.grey, 0, 0);
      const ring = Math.max(2, Math.round(Math.min(picture.width, picture.height) / 48)), line = Math.max(1, ring / 4);
      for (const one of [...dabs, ...(drag ? [drag] : [])]) if (one.line) stroke(one, line);
      for (const dab of dabs) if (!dab.line) circle(dab, ring, dab.colour, line);
      if (document.activeElement === canvas) circle(cross, ring * 1.6, null, line);
    }
  }
  function draw() {
    paint();
    for (const name of ["undo", "clear", "keep"]) by(name).disabled = !dabs.length;
    if (served) by("go").disabled = !picture;
    by("dabs").replaceChildren(...dabs.map(row));
  }
  function circle(place, radius, fill, line) {
    pen.beginPath();
    pen.arc(place.x + 0.5, place.y + 0.5, radius, 0, 2 * Math.PI);
    if (fill) { pen.fillStyle = fill; pen.fill(); }
    for (const [colour, width] of [["#000", 2 * line], ["#fff", line]]) { pen.strokeStyle = colour; pen.lineWidth = width; pen.stroke(); }
  }
  function stroke(one, line) {
    const width = one.side * Hints.stepOf(picture.width, picture.height);
    Object.assign(pen, { lineCap: "round", lineJoin: "round" });
    pen.beginPath();
    for (const [x, y] of [one.line[0], ...one.line]) pen.lineTo(x + 0.5, y + 0.5); // one point alone is a dot
    for (const [colour, more] of [["#000", 3 * line], ["#fff", 2 * line], [one.colour, 0]]) { pen.strokeStyle = colour; pen.lineWidth = width + more; pen.stroke(); }
  }
  function row(dab, number) {
    const item = document.createElement("li"), box = Object.assign(document.createElement("span"), { className: "swatch" });
    box.style.background = dab.colour;
    const away = Object.assign(document.createElement("button"), { type: "button", textContent: "Take back" });
    const where = dab.line ? `from ${dab.line[0].join(", ")} to ${dab.line[dab.line.length - 1].join(", ")}` : `at ${dab.x}, ${dab.y}`;
    away.setAttribute("aria-label", `Take back the ${dab.line ? "stroke" : "dab"} ${dab.colour} ${where}`);
    away.addEventListener("click", () => { dabs.splice(number, 1); changed(); });
    item.append(box, ` ${dab.colour} ${where}`, away);
    return item;
  }

  const pencil = () => ({ side: Number(fields.side.value), colour: fields.colour.value });
  function place(where) {
    const dab = { ...pencil(), ...where };
    if (!Number.isInteger(dab.side) || dab.side < 1 || dab.side > 15) { complain("The width must be a whole number from 1 to 15."); return; }
    if (Hints.tooMany(Hints.file([...dabs, dab], picture.width, picture.height))) {
      complain(`More than ${Hints.MOST} points are not taken; take some back, or make them narrower.`);
      return;
    }
    complain("");
    dabs.push(dab);
    changed();
  }
  function changed() {
    draw();
    if (served && fields.live.checked) colour();
  }

  async function colour() {
    if (busy) { waiting = true; return; } // what is in between is left out
    if (!picture) return;
    busy = true;
    asked += 1;
    const mine = asked, sent = Hints.body(picture.image, Hints.file(dabs, picture.width, picture.height));
    say("Colouring …");
    try {
      const reply = await fetch("invocations", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) });
      const told = await reply.json();
      if (mine === asked) {
        if (reply.ok) show(told.predictions[0].image, sent);
        else { say(""); complain(told.error); }
      }
    } catch {
      if (mine === asked) { say(""); complain("The server does not answer; is `restore-ml serve` still running? Press “Colour it” to try again."); }
    } finally {
      busy = false;
      if (waiting) { waiting = false; colour(); }
    }
  }
  function show(image, sent) {
    complain("");
    const binary = atob(image), data = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at += 1) data[at] = binary.charCodeAt(at);
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([data], { type: "image/png" }));
    Object.assign(by("coloured"), { src: address, hidden: false });
    Object.assign(by("result"), { href: address, download: "coloured.png", hidden: false });
    const { points, strokes = [] } = JSON.parse(sent.dataframe_records[0].points || '{"points":[]}');
    const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
    const told = [...(points.length ? [`${counted(dabs.filter(({ line }) => !line).length, "dab")}, ${counted(points.length, "point")}`] : []),
      ...(strokes.length ? [counted(strokes.length, "stroke")] : [])];
    say(told.length ? `Coloured with ${told.join(", and ")}.` : "Coloured without hints.");
  }

  fields.picture.addEventListener("change", () => { if (fields.picture.files.length) take(fields.picture.files[0]); });
  form.addEventListener("submit", (event) => { event.preventDefault(); if (served) colour(); });
  function pointed(event) {
    const box = canvas.getBoundingClientRect();
    const at = (offset, length, pixels) => Math.min(pixels - 1, Math.max(0, Math.floor(offset / length * pixels)));
    return { x: at(event.clientX - box.left, box.width, picture.width), y: at(event.clientY - box.top, box.height, picture.height) };
  }
  // A press that moves by more than SLIP of the screen's pixels is a stroke, else a dab. The canvas keeps the pointer, so
  // that a stroke that leaves it goes on along its edge.
  const SLIP = 5;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return;
    const { x, y } = pointed(event);
    drag = { ...pencil(), line: [[x, y]], from: [event.clientX, event.clientY], moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || !event.isPrimary) return;
    const { x, y } = pointed(event), [left, top] = drag.line[drag.line.length - 1];
    drag.moved = drag.moved || Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) > SLIP;
    if (x !== left || y !== top) drag.line.push([x, y]);
    if (drag.moved) paint();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!drag || !event.isPrimary) return;
    const { line, moved } = drag;
    drag = null;
    cross = pointed(event);
    place(moved ? { line } : { x: line[0][0], y: line[0][1] });
    paint(); // also where it was not taken
  });
  canvas.addEventListener("pointercancel", () => { drag = null; paint(); });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? FARTHER : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      cross.x = Math.min(picture.width - 1, Math.max(0, cross.x + moves[event.key][0]));
      cross.y = Math.min(picture.height - 1, Math.max(0, cross.y + moves[event.key][1]));
      say(`The cross is at ${cross.x}, ${cross.y}.`);
      draw();
    } else if (event.key === "Enter" || event.key === " ") {
      place({ ...cross });
    } else if (event.key === "Backspace" || event.key === "Delete") {
      dabs.pop();
      changed();
    } else {
      return;
    }
    event.preventDefault();
  });
  // Only the picture: a list that is made anew under the mouse would swallow the click that took the focus away.
  for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, paint);
  by("undo").addEventListener("click", () => { dabs.pop(); changed(); });
  by("clear").addEventListener("click", () => { dabs = []; changed(); });
  by("keep").addEventListener("click", () => {
    const text = JSON.stringify(Hints.file(dabs, picture.width, picture.height));
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "hints.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("The hints are saved as hints.json.");
  });
})();
