"use strict";
// Two rows of a task on one picture: side by side or as a swipe, with their difference and its spectrum. All panes look
// at the same place. The choices stand in the address after #, so that a link keeps them.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("choices"), room = document.getElementById("panes"), fields = form.elements;
  const told = (name) => document.getElementById(`told-${name}`), readout = document.getElementById("readout");
  const canvases = Object.fromEntries([...room.querySelectorAll(".pane")].map((one) => [one.dataset.pane, one.querySelector("canvas")]));
  const seen = {}; // what each pane shows: {canvas, width, height}
  let shots = [], turn = 0, here = {}, missing = [];

  const now = () => data.cases.find((one) => one.name === fields.case.value) || data.cases[0];
  const picture = () => now().pictures.find((one) => one.id === fields.picture.value) || now().pictures[0];
  const shot = (key) => shots.find((one) => one.key === key);
  const figures = (one) => one.values.map((value, place) => {
    const { name, digits, unit } = (now().metrics || data.metrics)[place]; // of a case without a truth: its own
    return `${name} ${value === null ? "–" : value.toFixed(digits)}${value !== null && unit ? ` ${unit}` : ""}`;
  }).join(" · ");

  function options(select, entries, wanted) {
    const held = wanted === undefined ? select.value : wanted;
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
    if (entries.some(([value]) => value === held)) select.value = held;
  }
  // The pictures of the case, and what lies side by side of the picture; what is chosen stays where it is there.
  function offer(wanted = {}) {
    const names = now().pictures.map((one) => one.name);
    options(fields.picture, now().pictures.map((one) => [one.id, names.filter((name) => name === one.name).length > 1 ? `${one.name} (${one.id.slice(0, 6)})` : one.name]), wanted.picture);
    const one = picture();
    shots = one ? one.shots.map(([key, file, width, height, frames, ...values]) => ({ key, file, width, height, frames, values })) : [];
    panes.reset(one ? one.size : [1, 1]);
    missing = ["a", "b"].map((name) => wanted[name] || fields[name].value).filter((key) => key && !shot(key));
    const keys = shots.map(({ key, values }) => [key, values.length ? key : key.replaceAll("_", " ")]);
    const best = shots.find(({ values }) => values.length); // of a leaderboard, first
    options(fields.a, keys, wanted.a || fields.a.value || (best && best.key));
    if (!wanted.b && !fields.b.value && keys.length) options(fields.b, keys, keys[keys.length - 1][0]);
    else options(fields.b, keys, wanted.b);
    const truth = shot("truth") ? [["a-truth", "A − truth"], ["b-truth", "B − truth"]] : [];
    options(fields.of, [["a-b", "A − B"], ...truth], wanted.of);
    const frames = Math.max(1, ...shots.map((entry) => entry.frames)), row = document.getElementById("frames");
    row.hidden = frames === 1;
    fields.frame.max = frames - 1;
    if (wanted.frame !== undefined) fields.frame.value = wanted.frame;
    else if (here.frames !== frames) fields.frame.value = Math.floor(frames / 2);
    here.frames = frames;
  }
  const canvasOf = (pixels) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [pixels.width, pixels.height];
    canvas.getContext("2d").putImageData(new ImageData(pixels.data.slice(), pixels.width, pixels.height), 0, 0);
    return canvas;
  };
  const frameOf = async (one) => {
    const number = Math.round(fields.frame.value / Math.max(1, Number(fields.frame.max)) * (one.frames - 1));
    return Pixels.frame(await Pixels.load(one.file), one.frames, number);
  };
  // No pane shows a picture: an old one under new names would be a lie.
  function empty() {
    here = { frames: here.frames || 1 };
    for (const name of Object.keys(canvases)) [seen[name], told(name).textContent] = [null, ""];
    draw();
  }
  // Loads what is chosen and draws it; a later choice makes an earlier one stop.
  async function show() {
    const mine = (turn += 1), [a, b] = [shot(fields.a.value), shot(fields.b.value)];
    remember();
    fault(a ? missing.map((key) => `${key} has no picture here.`).join(" ") : "The pictures of this case are not on this machine.");
    if (!a) return empty();
    told("a").textContent = figures(a);
    told("b").textContent = figures(b);
    const [first, second] = { "a-b": [a, b], "a-truth": [a, shot("truth")], "b-truth": [b, shot("truth")] }[fields.of.value];
    try {
      const [one, two, from, minus] = await Promise.all([a, b, first, second].map(frameOf));
      if (mine !== turn) return;
      here = { ...here, a: one, b: two, from, minus };
      [seen.a, seen.b] = [canvasOf(one), canvasOf(two)];
      subtract();
    } catch (error) {
      if (mine !== turn) return;
      empty();
      fault(`The pixels of a picture cannot be read (${error.message}); \`restore-ml gallery\` writes them anew.`);
    }
  }
  // The difference at once, its spectrum when there is time.
  function subtract() {
    const { from, minus } = here;
    [seen.difference, seen.spectrum] = [null, null];
    [told("difference").textContent, told("spectrum").textContent] = ["", ""];
    if (from.width === minus.width && from.height === minus.height) {
      seen.difference = canvasOf(Pixels.difference(from, minus, Number(fields.times.value), fields.signed.checked));
      const { rms, most } = Pixels.apart(from, minus), mine = turn;
      told("difference").textContent = `rms ${rms.toFixed(2)} · at most ${most}`;
      setTimeout(() => {
        if (mine !== turn || here.from !== from || here.minus !== minus) return;
        const found = Pixels.spectrum(from, minus);
        seen.spectrum = canvasOf(Pixels.shown(found));
        told("spectrum").textContent = found.part ? `of the middle ${found.width} × ${found.height}` : `${found.width} × ${found.height}`;
        draw();
      });
    } else {
      told("difference").textContent = `none: ${from.width} × ${from.height} and ${minus.width} × ${minus.height} pixels`;
    }
    draw();
  }
  function fault(text) {
    const line = document.getElementById("fault");
    line.textContent = text;
    line.hidden = !text;
  }

  const panes = Panes(room, canvases, seen, {
    on: () => fields.swipe.checked, cut: () => fields.cut.value, set: (percent) => { fields.cut.value = percent; },
  }, drawn);
  const draw = panes.draw;
  const percent = (scale) => `${scale < 0.1 ? (100 * scale).toFixed(1) : Math.round(100 * scale)} %`;
  function drawn() {
    document.getElementById("cut-row").hidden = !fields.swipe.checked;
    document.getElementById("zoom").textContent = panes.isFit() ? `fit ${percent(panes.scale())}` : percent(panes.scale());
    document.querySelector("#frames output").textContent = `${Number(fields.frame.value) + 1} / ${Number(fields.frame.max) + 1}`;
    read();
  }
  function read() {
    const pointed = panes.pointed(), size = panes.size();
    const value = (pixels) => {
      if (!pixels || pixels.width !== size[0] || pixels.height !== size[1]) return null;
      const place = 4 * (pointed.y * pixels.width + pointed.x);
      return [...pixels.data.slice(place, place + 3)];
    };
    const [a, b] = pointed ? [value(here.a), value(here.b)] : [null, null];
    const signed = (own) => (own > 0 ? `+${own}` : own < 0 ? `−${-own}` : "0");
    readout.textContent = pointed ? [`column ${pointed.x}, row ${pointed.y}`, a && `A ${a.join(" ")}`, b && `B ${b.join(" ")}`,
      a && b && `A − B ${a.map((one, place) => signed(one - b[place])).join(" ")}`].filter(Boolean).join("   ") : "Point at a pixel for its values.";
  }

  function neighbour(by) {
    const all = now().pictures, place = all.indexOf(picture());
    if (!all.length) return;
    offer({ picture: all[(place + by + all.length) % all.length].id });
    show();
  }
  function swap() {
    [fields.a.value, fields.b.value] = [fields.b.value, fields.a.value];
    show();
  }
  function factor(by) {
    fields.times.selectedIndex = Math.min(fields.times.length - 1, Math.max(0, fields.times.selectedIndex + by));
    remember();
    if (here.from) subtract();
  }
  function clip(by) {
    fields.frame.value = (Number(fields.frame.value) + by + here.frames) % here.frames;
    show();
  }
  const toggle = (field) => { field.checked = !field.checked; field.dispatchEvent(new Event("change", { bubbles: true })); };
  const keys = {
    ArrowLeft: () => panes.move(-0.1, 0), ArrowRight: () => panes.move(0.1, 0), ArrowUp: () => panes.move(0, -0.1), ArrowDown: () => panes.move(0, 0.1),
    "+": () => panes.step(1), "=": () => panes.step(1), "-": () => panes.step(-1), 0: () => panes.zoom(0), 1: () => panes.zoom(1), n: () => neighbour(1), p: () => neighbour(-1),
    x: swap, s: () => toggle(fields.swipe), d: () => toggle(fields.signed), "[": () => factor(-1), "]": () => factor(1),
    ",": () => clip(-1), ".": () => clip(1),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("select, input[type=range], summary"), scrolls = event.key.startsWith("Arrow") && panes.isFit() && !fields.swipe.checked;
    if (typing || scrolls || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });

  function remember() {
    const state = new URLSearchParams({ a: fields.a.value, b: fields.b.value, case: now().name });
    if (picture()) state.set("picture", picture().id);
    if (fields.swipe.checked) state.set("view", "swipe");
    if (fields.of.value !== "a-b") state.set("of", fields.of.value);
    if (fields.times.value !== "4") state.set("times", fields.times.value);
    if (fields.signed.checked) state.set("signed", "1");
    if (here.frames > 1) state.set("frame", fields.frame.value);
    history.replaceState(null, "", `#${state}`);
  }
  function recall() {
    const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const cases = data.cases.map((one) => one.name);
    if (cases.includes(state.case)) fields.case.value = state.case;
    const known = now().pictures.find((one) => one.id === state.picture || one.name === state.picture);
    fields.swipe.checked = state.view === "swipe";
    fields.signed.checked = state.signed === "1";
    fields.times.value = [...fields.times.options].some((one) => one.value === state.times) ? state.times : "4";
    offer({ ...state, picture: known ? known.id : undefined });
    show();
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of ["a", "b", "case", "picture", "of", "times", "signed", "swipe", "cut", "frame"]) {
    const field = fields[name];
    field.addEventListener(["cut", "frame"].includes(name) ? "input" : "change", () => {
      if (name === "case" || name === "picture") offer();
      if (name === "a" || name === "b") missing = []; // somebody chose what is there
      if (name === "cut") draw();
      else if (name === "swipe") { remember(); room.classList.toggle("swipe", field.checked); panes.settle(); } else if (["times", "signed"].includes(name)) { remember(); if (here.from) subtract(); } else show();
    });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "swap") swap();
    else if (button.dataset.step) neighbour(Number(button.dataset.step));
    else if (button.dataset.zoom) { if (button.dataset.zoom === "fit") panes.zoom(0); else panes.step(Number(button.dataset.zoom)); }
  });
  addEventListener("resize", panes.settle);
  addEventListener("hashchange", recall);
  options(fields.case, data.cases.map((one) => [one.name, one.name]));
  recall();
})();
