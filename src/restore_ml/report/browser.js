"use strict";
// The pictures of a case: found by name, ordered by name or by how well a method did, with the methods that are chosen.
// The choices stand in the address after #, so that a link keeps them.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("controls"), room = document.getElementById("browser");
  const caseSelect = document.getElementById("case"), methods = document.getElementById("methods");
  const more = document.getElementById("more");
  let chosen = null; // a set of runs, or null: the first ones, the champion and the baseline
  const file = (ref, small) => {
    const name = ref.replace("+", "");
    return `pictures/${name.slice(0, 2)}/${name}.${small && ref.endsWith("+") ? "jpg" : "png"}`;
  };
  function make(kind, attributes = {}, ...children) {
    const element = document.createElement(kind);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const figure = (metric, value) => value === null || value === undefined ? "–"
    : `${value.toFixed(metric.digits)}${metric.unit ? ` ${metric.unit}` : ""}`;
  const now = () => data.cases.find((entry) => entry.name === caseSelect.value) || data.cases[0];
  const metrics = () => now().metrics || data.metrics; // a case whose truth nobody knows has figures of its own
  const figures = (tile) => (tile.values || []).map((value, place) => `${metrics()[place].name} ${figure(metrics()[place], value)}`).join(" · ");
  const score = (picture, run) => {
    const tile = picture.tiles.find((entry) => entry.run === run);
    return tile && tile.values && tile.values[0] !== null && tile.values[0] !== undefined
      ? (metrics()[0].direction || 1) * tile.values[0] : NaN;
  };

  // The runs of the case, in the order of its leaderboard: in the menu and in the choice of whose pictures come first.
  function offer() {
    const { runs } = now(), of = form.elements.of, held = of.value;
    of.replaceChildren(...runs.map((run) => new Option(data.runs[run], data.runs[run])));
    if (runs.some((run) => data.runs[run] === held)) of.value = held;
    const groups = new Map();
    for (const run of runs) groups.set(data.methods[run], [...(groups.get(data.methods[run]) || []), run]);
    const boxOf = (run) => {
      const box = make("input", { type: "checkbox", value: data.runs[run] });
      box.checked = isShown(run);
      return make("label", { "data-words": `${data.runs[run]} ${data.methods[run]}`.toLowerCase() }, box, ` ${data.runs[run]}`);
    };
    methods.replaceChildren(...[...groups].map(([method, own]) => {
      if (own.length === 1) return boxOf(own[0]);
      const all = make("input", { type: "checkbox", "data-method": method });
      all.checked = own.every(isShown);
      return make("fieldset", {}, make("legend", {}, make("label", {}, all, ` all ${own.length} of ${method}`)), ...own.map(boxOf));
    }));
    narrow();
  }
  // The runs that are shown before a person chooses: the first of the case's leaderboard, the champion, the baseline.
  const usual = () => new Set([...now().runs.slice(0, data.first).map((run) => data.runs[run]), ...data.always]);
  const isShown = (run) => (chosen || usual()).has(data.runs[run]);
  function narrow() {
    const text = document.getElementById("find-method").value.trim().toLowerCase();
    for (const label of methods.querySelectorAll("[data-words]")) label.hidden = !label.dataset.words.includes(text);
    for (const group of methods.querySelectorAll("fieldset")) group.hidden = !group.querySelector("[data-words]:not([hidden])");
  }
  function listed() {
    const find = form.elements.find.value.trim().toLowerCase(), order = form.elements.order.value;
    const found = now().pictures.filter((picture) => picture.name.toLowerCase().includes(find));
    if (order === "name") return found;
    const run = data.runs.indexOf(form.elements.of.value), turn = order === "worst" ? 1 : -1;
    return [...found].sort((a, b) => {
      const x = score(a, run), y = score(b, run);
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
      return turn * (x - y);
    });
  }
  function tileOf(picture, tile, best) {
    const run = data.runs[tile.run], caption = make("figcaption", {}, make("b", {}, run));
    if (tile.status) {
      return make("figure", { class: "tile", "data-run": run },
        make("div", { class: "none" }, make("b", {}, tile.status), make("span", {}, tile.reason)), caption);
    }
    tile.values.forEach((value, place) => {
      const metric = metrics()[place], wins = value !== null && metric.direction && metric.direction * value === best[place];
      caption.append(make("span", { class: wins ? "value best" : "value" }, make("i", {}, metric.name), ` ${figure(metric, value)}`));
    });
    caption.append(...said(tile), ...guidesOf(picture, tile));
    const others = othersOf(tile).map(([key, ref]) => thumbnail(picture, { picture: ref, size: tile.size }, key));
    return make("figure", { class: "tile", "data-run": run }, thumbnail(picture, tile, run),
      ...(others.length ? [make("div", { class: "others" }, ...others)] : []), caption);
  }
  // What a method was told beside the picture: colours as swatches, words, another picture, small and under its result.
  function guidesOf(picture, tile) {
    return picture.given.filter(({ key }) => (tile.guides || []).includes(key)).map((shot) => {
      const seen = shot.picture
        ? [make("img", { src: file(shot.picture, true), alt: `${picture.name}, ${shot.key}`, loading: "lazy" })]
        : shot.told.map((one) => (isColour(one) ? swatch(one) : `“${one}”`));
      return make("span", { class: "guide" }, make("i", {}, `given ${nameOf(shot)}`), ...seen);
    });
  }
  const nameOf = (shot) => shot.key.replaceAll("_", " ");
  const isColour = (text) => /^#[0-9a-f]{6}$/.test(text);
  function swatch(colour, ...inside) {
    const box = make("span", { class: "swatch", ...(inside.length ? {} : { role: "img", "aria-label": colour, title: colour }) }, ...inside);
    const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
    box.style.background = colour;
    box.style.color = 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#000" : "#fff";
    return box;
  }
  // The same in front, as large as the pictures: each colour with its code, or the words.
  const toldOf = (shot) => make("div", { class: shot.told.every(isColour) ? "told colours" : "told" },
    ...shot.told.map((one) => (isColour(one) ? swatch(one, one) : make("q", {}, one))));
  // More results of a method that draws several: their names and files.
  const othersOf = (tile) => (tile.others || []).map((ref, place) => [`${data.runs[tile.run]} (${place + 2})`, ref]);
  function thumbnail(picture, shot, key) {
    const [width, height] = shot.size;
    const image = make("img", { src: file(shot.picture, true), alt: `${picture.name}, ${key}`, width, height: height * (shot.frames || 1), loading: "lazy" });
    const seen = shot.frames ? Film.box(image, shot.frames, width, height) : image;
    const button = make("button", { type: "button", class: "zoom", "data-key": key, "aria-label": `Compare ${key} of ${picture.name}` }, seen);
    button.addEventListener("click", () => Viewer.open(...look(picture, ...sidesOf(picture, key))));
    return button;
  }
  // What lies left and right in the viewer: a picture beside the truth or, where nobody knows one, beside the input.
  function sidesOf(picture, key) {
    if (picture.truth) return [key === "truth" ? "input" : key, "truth"];
    const result = picture.tiles.find((tile) => tile.picture && isShown(tile.run));
    return ["input", key === "input" && result ? data.runs[result.run] : key];
  }
  const seen = (picture) => picture.tiles.filter((tile) => isShown(tile.run));
  // Bars of a class's probabilities; the true one is marked.
  function barsOf(shot) {
    return (shot.shares || []).map(([name, share, right]) => {
      const bar = make("span", { class: right ? "share right" : "share", title: right ? "the true class" : "" },
        make("i", {}, name), make("b", {}, `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`));
      bar.style.setProperty("--share", `${100 * share}%`);
      return bar;
    });
  }
  const said = (shot) => [...(shot.caption ? [make("span", { class: "said" }, shot.caption)] : []), ...barsOf(shot)];
  // What the viewer needs for a picture; `n` and `p` ask for its neighbours in the present order.
  function look(picture, leftKey, rightKey) {
    const shotOf = (key, one, told) => ({ key, label: key, src: file(one.picture), frames: one.frames || 1, figures: told });
    const told = (one) => [one.caption, ...(one.shares || []).slice(0, 1).map(([name, share]) => `${name} ${(100 * share).toFixed(0)} %`)].filter(Boolean).join(" · ");
    const given = (first) => picture.given.filter(({ key, picture: ref }) => ref && (key === "truth") !== first).map((one) => shotOf(one.key, one, told(one)));
    const shots = [...given(true), ...seen(picture).filter((tile) => tile.picture).flatMap((tile) => [
      shotOf(data.runs[tile.run], tile, [figures(tile), told(tile)].filter(Boolean).join(" · ")),
      ...othersOf(tile).map(([key, ref]) => shotOf(key, { picture: ref }, "another result that it drew"))]), ...given(false)];
    const step = (by) => {
      const all = listed(), place = all.indexOf(picture);
      const next = all[(place + by + all.length) % all.length];
      return next ? (one, other) => look(next, one, other) : null;
    };
    const page = (a, b) => `compare_${data.task}.html#${new URLSearchParams({ a, b, case: now().name, picture: picture.id })}`;
    return [`${picture.name} · ${now().name}`, picture.width, picture.height, shots, leftKey, rightKey, step, page];
  }
  function rowOf(picture) {
    const tiles = seen(picture);
    const best = metrics().map((metric, place) => Math.max(...picture.tiles.map((tile) => (
      tile.values && tile.values[place] !== null ? metric.direction * tile.values[place] : -Infinity))));
    const given = (shot) => make("figure", { class: "tile given", "data-given": shot.key }, shot.picture ? thumbnail(picture, shot, shot.key) : toldOf(shot), make("figcaption", {}, make("b", {}, nameOf(shot)), ...said(shot)));
    const heading = make("h3", {}, picture.name);
    if (picture.synthetic) heading.append(" ", make("span", { class: "tag" }, "synthetic"));
    const section = make("section", { class: "picture", "data-name": picture.name, "aria-label": picture.name }, heading,
      make("div", { class: picture.width >= 2.5 * picture.height ? "grid broad" : "grid" }, ...picture.given.map(given), ...tiles.map((tile) => tileOf(picture, tile, best))));
    const frames = Math.max(...[...picture.given, ...tiles].map((shot) => shot.frames || 1));
    if (frames > 1) heading.append(scrubber(section, frames));
    return section;
  }
  // The clips of a sample run in step: a button that plays them, and a range for their time.
  function scrubber(section, frames) {
    const button = make("button", { type: "button", "aria-label": "Play" }, "▶"), output = make("output");
    const range = make("input", { type: "range", min: 0, max: frames - 1, step: 1, value: 0, "aria-label": `Frame of ${section.dataset.name}` });
    Film.controls(section, range, button, output).begin(frames, Math.floor(frames / 2));
    return make("span", { class: "frames" }, button, range, output);
  }
  function draw() {
    const here = now(), shown = listed();
    for (const block of document.querySelectorAll("[data-case]")) block.hidden = block.dataset.case !== here.name;
    form.querySelector(".of").hidden = form.elements.order.value === "name";
    const count = here.runs.filter(isShown).length;
    document.getElementById("chosen").textContent = `${count} of ${here.runs.length}`;
    more.hidden = chosen !== null || count === here.runs.length;
    more.textContent = `show all ${here.runs.length} runs`;
    const part = here.pictures.length < here.count ? `, ${here.pictures.length} of the test set's ${here.count} are in the gallery: some of each group, and the methods' worst` : "";
    document.getElementById("count").textContent = here.pictures.length
      ? `${here.name}: ${shown.length} pictures${part}` : `The pictures of ${here.name} are not on this machine.`;
    room.replaceChildren(...shown.map(rowOf));
    remember();
  }
  function remember() {
    const state = new URLSearchParams({ case: caseSelect.value, order: form.elements.order.value });
    if (form.elements.order.value !== "name") state.set("of", form.elements.of.value);
    if (form.elements.find.value) state.set("find", form.elements.find.value);
    if (chosen) state.set("show", [...chosen].join(" "));
    const plain = state.toString() === new URLSearchParams({ case: data.cases[0].name, order: "name" }).toString();
    if (!plain || location.hash.includes("=")) history.replaceState(null, "", plain ? "#" : `#${state}`);
  }
  function recall() {
    const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
    if (data.cases.some((entry) => entry.name === state.get("case"))) caseSelect.value = state.get("case");
    if (state.has("show")) chosen = new Set(state.get("show").split(" ").filter((run) => data.runs.includes(run)));
    offer();
    if (["name", "worst", "best"].includes(state.get("order"))) form.elements.order.value = state.get("order");
    if (data.runs.includes(state.get("of"))) form.elements.of.value = state.get("of");
    form.elements.find.value = state.get("find") || "";
  }
  caseSelect.addEventListener("change", () => { offer(); draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.find.addEventListener("input", draw);
  form.addEventListener("change", (event) => {
    if (event.target.type === "search") return;
    const { type, checked, value, dataset } = event.target;
    if (type === "checkbox") {
      chosen = new Set(chosen || usual());
      const runs = dataset.method === undefined ? [value] : data.runs.filter((run, place) => data.methods[place] === dataset.method);
      for (const run of runs) if (checked) chosen.add(run); else chosen.delete(run);
      offer();
    }
    draw();
  });
  form.addEventListener("click", (event) => {
    const kind = event.target.dataset && event.target.dataset.kind;
    if (kind) { // the runs of that kind, and the baseline beside them
      chosen = new Set([...now().runs.filter((run) => data.kinds[run] === kind).map((run) => data.runs[run]), ...data.always]);
      offer();
      draw();
      return;
    }
    if (!event.target.dataset || event.target.dataset.all === undefined) return;
    choose(event.target.dataset.all);
  });
  function choose(which) {
    chosen = which === "first" ? null : new Set(which === "all" ? data.runs : []);
    offer();
    draw();
  }
  more.addEventListener("click", () => choose("all"));
  document.getElementById("find-method").addEventListener("input", narrow);
  document.addEventListener("click", (event) => {
    const menu = form.querySelector(".menu");
    if (!menu.contains(event.target)) menu.open = false;
  });
  recall();
  draw();
})();
