"use strict";
// Hints on a grey picture: dabs of colour by mouse, finger or keys, sent to the server that this page came from. What is
// sent are the picture's own bytes (of a picture in colour its grey) and the points of all dabs.
const Hints = (() => {
  const MOST = 10000; // points that the server takes in one file
  const GRID = 256; // the server colours at this shorter side, so points need not lie closer than its pixels
  const levels = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  // The points of a dab: a square about its middle, cut off at the edges, a point for each pixel of the server's grid.
  function points(dab, width, height) {
    const step = Math.max(1, Math.floor(Math.min(width, height) / GRID)), half = Math.floor(dab.side / 2), found = [];
    for (let y = dab.y - half * step; y <= dab.y + (dab.side - 1 - half) * step; y += step) {
      for (let x = dab.x - half * step; x <= dab.x + (dab.side - 1 - half) * step; x += step) {
        if (x >= 0 && y >= 0 && x < width && y < height) found.push({ x, y, colour: levels(dab.colour) });
      }
    }
    return found;
  }
  function file(dabs, width, height) {
    const places = new Map(); // a later dab covers an earlier one
    for (const dab of dabs) for (const point of points(dab, width, height)) places.set(`${point.x} ${point.y}`, point);
    return { points: [...places.values()] };
  }
  const body = (image, hints) => ({ dataframe_records: [hints.points.length ? { image, points: JSON.stringify(hints) } : { image }] });
  const y601 = (red, green, blue) => Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  return { MOST, points, file, body, y601 };
})();

if (typeof document !== "undefined") (() => {
  const by = (id) => document.getElementById(id), form = by("setup"), fields = form.elements;
  const canvas = by("grey"), pen = canvas.getContext("2d", { willReadFrequently: true });
  const served = Boolean(by("go")), FARTHER = 10;
  let picture = null; // { image: base64, grey: a bitmap, width, height }
  let dabs = [], cross = null, asked = 0, busy = false, waiting = false, address = "";

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
    cross = { x: Math.floor(picture.width / 2), y: Math.floor(picture.height / 2) };
    Object.assign(canvas, { width: picture.width, height: picture.height, hidden: false });
    if (served) { by("coloured").hidden = true; by("result").hidden = true; }
    say(`${picture.width} x ${picture.height} pixels.${coloured ? " The picture is in colour: it was turned to grey first (0.299 R + 0.587 G + 0.114 B)." : ""} Click where a colour belongs.`);
    draw();
  }

  function paint() {
    if (picture) {
      pen.drawImage(picture.grey, 0, 0);
      const ring = Math.max(2, Math.round(Math.min(picture.width, picture.height) / 48)), line = Math.max(1, ring / 4);
      for (const dab of dabs) circle(dab, ring, dab.colour, line);
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
  function row(dab, number) {
    const item = document.createElement("li"), box = Object.assign(document.createElement("span"), { className: "swatch" });
    box.style.background = dab.colour;
    const away = Object.assign(document.createElement("button"), { type: "button", textContent: "Take back" });
    away.setAttribute("aria-label", `Take back the dab ${dab.colour} at ${dab.x}, ${dab.y}`);
    away.addEventListener("click", () => { dabs.splice(number, 1); changed(); });
    item.append(box, ` ${dab.colour} at ${dab.x}, ${dab.y}`, away);
    return item;
  }

  function place(x, y) {
    const side = Number(fields.side.value);
    if (!Number.isInteger(side) || side < 1 || side > 15) { complain("The width of a dab must be a whole number from 1 to 15."); return; }
    const dab = { x, y, side, colour: fields.colour.value };
    if (Hints.file([...dabs, dab], picture.width, picture.height).points.length > Hints.MOST) {
      complain(`More than ${Hints.MOST} points are not taken; take some dabs back, or make them narrower.`);
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
    const points = sent.dataframe_records[0].points, count = points ? JSON.parse(points).points.length : 0;
    say(count ? `Coloured with ${dabs.length} dab${dabs.length === 1 ? "" : "s"}, ${count} point${count === 1 ? "" : "s"}.` : "Coloured without hints.");
  }

  fields.picture.addEventListener("change", () => { if (fields.picture.files.length) take(fields.picture.files[0]); });
  form.addEventListener("submit", (event) => { event.preventDefault(); if (served) colour(); });
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (offset, length, pixels) => Math.min(pixels - 1, Math.max(0, Math.floor(offset / length * pixels)));
    cross = { x: at(event.clientX - box.left, box.width, picture.width), y: at(event.clientY - box.top, box.height, picture.height) };
    place(cross.x, cross.y);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? FARTHER : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in moves) {
      cross.x = Math.min(picture.width - 1, Math.max(0, cross.x + moves[event.key][0]));
      cross.y = Math.min(picture.height - 1, Math.max(0, cross.y + moves[event.key][1]));
      say(`The cross is at ${cross.x}, ${cross.y}.`);
      draw();
    } else if (event.key === "Enter" || event.key === " ") {
      place(cross.x, cross.y);
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
