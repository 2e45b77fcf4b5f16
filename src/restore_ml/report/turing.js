"use strict";
// The blind test: two pictures one after the other, each for the time that was set, then the question. What is on the
// page meanwhile is a canvas without a name. Answers are kept in the browser until they are saved as a file.
(() => {
  const tests = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("setup"), fields = form.elements, KEPT = "restore-ml turing";
  const by = (id) => document.getElementById(id);
  const screens = ["setup", "trial", "done"];
  const canvas = by("canvas"), question = by("question");
  let session = null, test = null, pictures = new Map(), release = () => null;
  let turn = 0; // goes up when a session begins or pauses: what still waits from an earlier turn ends

  const wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  const frame = () => new Promise((resolve) => { requestAnimationFrame(resolve); });
  const draw32 = () => crypto.getRandomValues(new Uint32Array(1))[0];
  function go(screen) { for (const name of screens) by(name).hidden = name !== screen; }
  const file = (ref) => { const name = ref.replace("+", ""); return `pictures/${name.slice(0, 2)}/${name}.png`; };

  // The form: tasks, what is asked, methods, and how many pairs there are.
  const chosen = () => tests.find((entry) => entry.task === fields.task.value);
  const mode = () => fields.mode.value;
  const runs = () => (mode() === "methods" ? [fields.one.value, fields.other.value]
    : [...form.querySelectorAll("#methods input:checked")].map((box) => box.value));
  function offer() {
    const names = chosen().runs.map((run) => run.name);
    by("methods").replaceChildren(...names.map((name) => {
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name, checked: true });
      const label = document.createElement("label");
      label.append(box, ` ${name}`);
      return label;
    }));
    for (const select of [fields.one, fields.other]) select.replaceChildren(...names.map((name) => new Option(name, name)));
    fields.other.selectedIndex = Math.min(1, names.length - 1);
    fields.mode.forEach((radio) => { radio.disabled = radio.value === "methods" && names.length < 2; });
    if (names.length < 2) fields.mode.value = "truth";
    count(true);
  }
  function count(anew) {
    const there = runs().length && new Set(runs()).size === runs().length ? Plan.available(chosen(), mode(), runs()) : 0;
    const most = there ? Math.floor(there + Math.max(1, there / 9)) : 0; // with the control pairs
    fields.trials.max = most;
    if (anew || Number(fields.trials.value) > most) fields.trials.value = Math.min(40, most);
    by("truths").hidden = mode() === "methods";
    by("versus").hidden = mode() !== "methods";
    by("start").disabled = !there;
    const shown = chosen().pictures.length, times = there ? Math.ceil(Number(fields.trials.value) / shown) : 0;
    by("available").textContent = there ? `${there} different pairs of ${shown} pictures.${times > 1 ? ` A picture comes up to about ${times} times; a few runs at a time, or more pictures, make a fairer test.` : ""}`
      : mode() === "methods" ? "Choose two different methods." : "Choose at least one method.";
  }

  async function begin(kept) {
    test = tests.find((entry) => entry.task === kept.task);
    session = kept;
    turn += 1;
    const mine = turn;
    go("trial");
    say("Loading the pictures …");
    try {
      await load();
    } catch (error) {
      return say(`A picture could not be loaded (${error.message}). Keep turing.html beside its folder “pictures”, and open it again.`);
    }
    if (mine !== turn) return undefined;
    await pressed("Ready", `${session.trials.length - session.practice} pairs, one picture after the other, each for ${session.seconds} second${session.seconds === 1 ? "" : "s"}. Then say which one ${asks()}.${session.practice ? ` First ${session.practice} to practise, with the answer.` : ""}`, ["Begin"]);
    for (let place = session.answered; place < session.trials.length && mine === turn; place += 1) {
      await ask(session.trials[place], place, mine);
      if (mine === turn) {
        session.answered = place + 1;
        keep();
      }
    }
    if (mine === turn) finish();
    return undefined;
  }
  const asks = () => (session.mode === "methods" ? "looks more real" : "is the real one");
  async function load() {
    const wanted = new Set(session.trials.flatMap((trial) => [refOf(trial, "first"), refOf(trial, "second")]));
    pictures = new Map();
    await Promise.all([...wanted].map(async (ref) => {
      const image = new Image();
      image.src = file(ref);
      await image.decode();
      pictures.set(ref, image);
    }));
  }
  function refOf(trial, side) {
    const picture = test.pictures.find((entry) => entry.id === trial.picture), name = trial[side];
    return name === "truth" || name === "control" ? picture[name] : picture.runs[test.runs.findIndex((run) => run.name === name)];
  }

  async function ask(trial, place, mine) {
    const tests_before = session.practice, practising = trial.kind === "practice";
    by("progress").max = session.trials.length;
    by("progress").value = place;
    by("place").textContent = practising ? `Practice ${place + 1} of ${tests_before}` : `Pair ${place - tests_before + 1} of ${session.trials.length - tests_before}`;
    trial.shown_ms = [];
    for (const side of ["first", "second"]) {
      say(side === "first" ? "First" : "Second");
      await wait(450);
      if (mine !== turn) return;
      say("");
      trial.shown_ms.push(await show(refOf(trial, side), mine));
      if (mine !== turn) return;
    }
    const from = performance.now();
    const answer = await pressed(session.mode === "methods" ? "Which one looked more real?" : "Which one was real?", "", ["First", "Second"]);
    if (mine !== turn) return;
    trial.ms = Math.round(performance.now() - from);
    trial.answer = answer === "First" ? "first" : "second";
    if (practising) {
      const right = trial[trial.answer] === "truth";
      await pressed(right ? "Right" : "Not this time", `The ${trial.first === "truth" ? "first" : "second"} was the real one.`, ["Next"]);
    }
  }
  // Whole frames: the time is measured from the frame in which the picture appears to the one in which it goes.
  async function show(ref, mine) {
    const image = pictures.get(ref), side = test.side, scale = devicePixelRatio || 1;
    const { naturalWidth: width, naturalHeight: height } = image;
    const cut = !test.shrink && Math.max(width, height) > side;
    const from = cut ? [Math.min(width, side), Math.min(height, side)] : [width, height];
    const size = cut ? from : from.map((length) => length * side / Math.max(width, height));
    [canvas.width, canvas.height] = size.map((length) => Math.round(length * scale));
    [canvas.style.width, canvas.style.height] = size.map((length) => `${length}px`);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, Math.floor((width - from[0]) / 2), Math.floor((height - from[1]) / 2), ...from, 0, 0, canvas.width, canvas.height);
    canvas.hidden = false;
    const start = await frame();
    let time = start;
    while (time - start < 1000 * session.seconds - 8 && mine === turn) time = await frame();
    if (mine === turn) canvas.hidden = true;
    return Math.round(time - start);
  }
  function say(text, more = "") {
    canvas.hidden = true;
    question.textContent = text;
    by("more").textContent = more;
    by("answers").replaceChildren();
  }
  // Shows a question with buttons; keys 1 and 2 (or the arrows) press the first and the second.
  function pressed(text, more, labels) {
    say(text, more);
    return new Promise((resolve) => {
      const done = (label) => { removeEventListener("keydown", key); by("answers").replaceChildren(); resolve(label); };
      release = done; // for the button that pauses
      const key = (event) => {
        const place = { 1: 0, 2: 1, ArrowLeft: 0, ArrowRight: 1 }[event.key];
        if (labels.length === 2 && place !== undefined && !event.repeat) { event.preventDefault(); done(labels[place]); }
      };
      by("answers").replaceChildren(...labels.map((label, place) => {
        const button = Object.assign(document.createElement("button"), { type: "button", className: "main" });
        button.append(label);
        if (labels.length === 2) button.append(" ", Object.assign(document.createElement("kbd"), { textContent: place + 1, ariaHidden: "true" }));
        button.addEventListener("click", () => done(label));
        return button;
      }));
      if (labels.length === 1) by("answers").firstChild.focus();
      addEventListener("keydown", key);
    });
  }

  // A session is kept after each answer, so that a closed tab loses none, and forgotten when the person says so.
  function keep() { try { localStorage.setItem(KEPT, JSON.stringify(session)); } catch { by("unkept").hidden = false; } }
  function forget() { try { localStorage.removeItem(KEPT); } catch { /* nothing was kept */ } }
  function kept() {
    try {
      const found = JSON.parse(localStorage.getItem(KEPT));
      return found && tests.some((entry) => entry.task === found.task && entry.page === found.page) ? found : null;
    } catch { return null; }
  }
  function finish() {
    go("done");
    const asked = session.trials.filter((trial) => trial.kind === "test");
    const fooled = asked.filter((trial) => trial[trial.answer] !== "truth").length;
    by("result").textContent = session.mode === "methods"
      ? `${session.methods[0]} was preferred in ${asked.filter((trial) => trial[trial.answer] === session.methods[0]).length} of ${asked.length} pairs.`
      : `A restored picture passed for the real one in ${fooled} of ${asked.length} pairs; who guesses is wrong in half of them.`;
    by("save").focus();
  }
  function save() {
    const { answered, ...whole } = session;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify({ ...whole, complete: answered === session.trials.length }, null, 1)}\n`], { type: "application/json" }));
    link.download = `turing-${session.task}-${session.session}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    by("saved").textContent = `${link.download} is in your folder of downloads. Read it with: restore-ml turing report ${link.download}`;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const options = { mode: mode(), runs: runs(), trials: Number(fields.trials.value), practice: Number(fields.practice.value), seed: Number(fields.seed.value) };
    const trials = Plan.make(chosen(), options);
    begin({
      format: "restore-ml turing 1", session: [0, 0].map(() => draw32().toString(16).padStart(8, "0")).join(""), rater: fields.rater.value.trim(),
      task: chosen().task, case: chosen().case, page: chosen().page, mode: options.mode, methods: options.runs, seed: options.seed, seconds: Number(fields.seconds.value),
      models: Object.fromEntries(chosen().runs.filter((run) => options.runs.includes(run.name)).map((run) => [run.name, run.model])),
      started: new Date().toISOString(), practice: trials.filter((trial) => trial.kind === "practice").length, answered: 0, trials,
    });
  });
  form.addEventListener("change", (event) => (event.target === fields.task ? offer() : count(event.target.name === "mode")));
  by("save").addEventListener("click", save);
  by("stop").addEventListener("click", () => { turn += 1; release(""); canvas.hidden = true; home(); });
  by("again").addEventListener("click", () => { forget(); home(); });
  by("continue").addEventListener("click", () => { const found = kept(); if (found.answered === found.trials.length) { session = found; finish(); } else begin(found); });
  by("forget").addEventListener("click", () => { forget(); home(); });
  function home() {
    fields.seed.value = draw32();
    const found = kept();
    by("resume").hidden = !found;
    if (found) by("resume-text").textContent = `A session on ${found.task.replace("_", " ")} of ${found.started.slice(0, 10)} is kept in this browser: ${found.answered} of ${found.trials.length} pairs answered.`;
    by("saved").textContent = "";
    go("setup");
  }
  if (tests.length) {
    fields.task.replaceChildren(...tests.map((entry) => new Option(entry.title, entry.task)));
    const smaller = tests.find((entry) => entry.shrink);
    if (smaller) fields.task.value = smaller.task;
    offer();
    home();
  }
})();
