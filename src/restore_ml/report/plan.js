"use strict";
// The plan of a blind test: which pairs come in which order and on which side, from a seed that the page shows. The same
// seed, pictures and choices give the same plan.
const Plan = (() => {
  // mulberry32: 32 bits of state, uniform numbers in [0, 1).
  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }
  function shuffled(list, draw) {
    const mixed = [...list];
    for (let last = mixed.length - 1; last > 0; last -= 1) {
      const other = Math.floor(draw() * (last + 1));
      [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
    }
    return mixed;
  }
  // Every different pair, in rounds: a picture comes again only when all others have come.
  function pairs(test, mode, runs, draw) {
    const own = test.pictures.map((picture) => {
      const has = (run) => picture.runs[test.runs.findIndex((entry) => entry.name === run)];
      if (mode === "methods") return has(runs[0]) && has(runs[1]) ? [{ picture: picture.id, one: runs[0], other: runs[1] }] : [];
      return shuffled(runs.filter(has), draw).map((run) => ({ picture: picture.id, one: "truth", other: run }));
    });
    const most = Math.max(0, ...own.map((list) => list.length));
    return Array.from({ length: most }, (_, round) => shuffled(own.flatMap((list) => list.slice(round, round + 1)), draw)).flat();
  }
  const available = (test, mode, runs) => pairs(test, mode, runs, uniform(0)).length;
  // One test pair in ten is against the control; practice takes pairs that the test leaves over, then control pairs.
  function make(test, { mode, runs, trials, practice, seed }) {
    const draw = uniform(seed), all = pairs(test, mode, runs, draw);
    const catches = trials > 1 ? Math.max(1, Math.round(trials / 10)) : 0;
    const controls = shuffled(test.pictures, draw).map((picture) => ({ picture: picture.id, one: "truth", other: "control" }));
    const asked = all.slice(0, trials - catches).map((pair) => ({ kind: "test", ...pair }));
    const caught = Array.from({ length: catches }, (_, place) => ({ kind: "catch", ...controls[place % controls.length] }));
    const left = mode === "methods" ? [] : all.slice(trials - catches);
    const tried = [...left, ...controls.slice(catches), ...controls].slice(0, practice).map((pair) => ({ kind: "practice", ...pair }));
    const order = [...shuffled(tried, draw), ...spread(asked, caught, draw)];
    const sides = shuffled(order.map((_, place) => place % 2 === 0), draw);
    return order.map(({ kind, picture, one, other }, place) => ({
      kind, picture, first: sides[place] ? one : other, second: sides[place] ? other : one,
    }));
  }
  // The control pairs at random places among the others, whose order in rounds stays.
  function spread(asked, caught, draw) {
    const list = [...asked];
    for (const pair of caught) list.splice(Math.floor(draw() * (list.length + 1)), 0, pair);
    return list;
  }
  return { make, available };
})();
