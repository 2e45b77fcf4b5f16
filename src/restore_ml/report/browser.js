"use strict";
// The pictures of a case: found by name, ordered by name or by how well a method did, with the methods that are chosen.
// The choices stand in the address after #, so that a link keeps them.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("controls"), room = document.getElementById("browser");
  const caseSelect = document.getElementById("case"), methods = document.getElementById("methods");
  const first = data.metrics[0], more = document.getElementById("more");
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
  const figures = (tile) => (tile.values || []).map((value, place) => `${data.metrics[place].name} ${figure(data.metrics[place], value)}`).join(" · ");
  const now = () => data.cases.find((entry) => entry.name === caseSelect.value) || data.cases[0];
  const score = (picture, run) => {
    const tile = picture.tiles.find((entry) => entry.run === run);
    return tile && tile.values && tile.values[0] !== null ? first.direction * tile.values[0] : NaN;
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
      const metric = data.metrics[place], wins = value !== null && metric.direction && metric.direction * value === best[place];
      caption.append(make("span", { class: wins ? "value best" : "value" }, make("i", {}, metric.name), ` ${figure(metric, value)}`));
    });
    return make("figure", { class: "tile", "data-run": run }, thumbnail(picture, tile.picture, run), caption);
  }
  function thumbnail(picture, ref, key) {
    const image = make("img", { src: file(ref, true), alt: `${picture.name}, ${key}`, width: picture.width, height: picture.height, loading: "lazy" });
    const button = make("button", { type: "button", class: "zoom", "data-key": key, "aria-label": `Compare ${key} of ${picture.name}` }, image);
    button.addEventListener("click", () => Viewer.open(...look(picture, key === "truth" ? "input" : key, "truth")));
    return button;
  }
  const seen = (picture) => picture.tiles.filter((tile) => isShown(tile.run));
  // What the viewer needs for a picture; `n` and `p` ask for its neighbours in the present order.
  function look(picture, leftKey, rightKey) {
    const shots = [{ key: "input", label: "input", src: file(picture.input), figures: "" },
      ...seen(picture).filter((tile) => tile.picture).map((tile) => (
        { key: data.runs[tile.run], label: data.runs[tile.run], src: file(tile.picture), figures: figures(tile) })),
      ...(picture.truth ? [{ key: "truth", label: "truth", src: file(picture.truth), figures: "" }] : [])];
    const step = (by) => {
      const all = listed(), place = all.indexOf(picture);
      const next = all[(place + by + all.length) % all.length];
      return next ? (one, other) => look(next, one, other) : null;
    };
    return [`${picture.name} · ${now().name}`, picture.width, picture.height, shots, leftKey, rightKey, step];
  }
  function rowOf(picture) {
    const tiles = seen(picture);
    const best = data.metrics.map((metric, place) => Math.max(...picture.tiles.map((tile) => (
      tile.values && tile.values[place] !== null ? metric.direction * tile.values[place] : -Infinity))));
    const given = (ref, key) => make("figure", { class: "tile given" }, thumbnail(picture, ref, key), make("figcaption", {}, make("b", {}, key)));
    const heading = make("h3", {}, picture.name);
    if (picture.synthetic) heading.append(" ", make("span", { class: "tag" }, "synthetic"));
    return make("section", { class: "picture", "data-name": picture.name, "aria-label": picture.name }, heading,
      make("div", { class: "grid" }, given(picture.input, "input"), ...(picture.truth ? [given(picture.truth, "truth")] : []),
        ...tiles.map((tile) => tileOf(picture, tile, best))));
  }
  function draw() {
    const here = now(), shown = listed();
    for (const block of document.querySelectorAll("[data-case]")) block.hidden = block.dataset.case !== here.name;
    form.querySelector(".of").hidden = form.elements.order.value === "name";
    const count = here.runs.filter(isShown).length;
    document.getElementById("chosen").textContent = `${count} of ${here.runs.length}`;
    more.hidden = chosen !== null || count === here.runs.length;
    more.textContent = `show all ${here.runs.length} runs`;
    const part = here.pictures.length < here.count ? `, ${here.pictures.length} of the test set's ${here.count} are in the gallery: some of every photograph, and the methods' worst` : "";
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
