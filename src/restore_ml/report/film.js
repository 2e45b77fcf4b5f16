"use strict";
// Clips: the frames of one lie below each other in one file, and a box shows one of them. Clips of a sample run in step:
// the time goes from 0 to 1, and each shows its own frame of that time.
const Film = (() => {
  const RATE = 8; // frames a second
  // A box for an image of `frames` frames of `width` x `height`.
  function box(image, frames, width, height) {
    const film = document.createElement("span");
    film.className = "film";
    film.style.aspectRatio = `${width} / ${height}`;
    film.append(image);
    fit(film, frames);
    return film;
  }
  function fit(film, frames) {
    film.style.setProperty("--frames", frames);
    film.dataset.frames = frames;
    film.style.setProperty("--frame", Math.min(frames - 1, Number(film.style.getPropertyValue("--frame")) || 0));
  }
  function seek(room, time) {
    for (const film of room.querySelectorAll(".film")) {
      film.style.setProperty("--frame", Math.round(time * ((film.dataset.frames || 1) - 1)));
    }
  }
  // Wires a range, a play button and an output to the films in `room`; returns how to begin with `frames` and to stop.
  function controls(room, range, button, output) {
    let timer = null;
    const last = () => Math.max(1, Number(range.max));
    function show() {
      seek(room, range.value / last());
      output.textContent = `${Number(range.value) + 1} / ${Number(range.max) + 1}`;
    }
    function stop() {
      clearInterval(timer);
      timer = null;
      button.textContent = "▶";
      button.setAttribute("aria-label", "Play");
    }
    function step(by) {
      const count = Number(range.max) + 1;
      range.value = (Number(range.value) + by + count) % count;
      show();
    }
    range.addEventListener("input", () => { stop(); show(); });
    button.addEventListener("click", () => {
      if (timer) return stop();
      button.textContent = "❚❚";
      button.setAttribute("aria-label", "Pause");
      timer = setInterval(() => (room.isConnected ? step(1) : stop()), 1000 / RATE);
    });
    return { stop, show, step, begin(frames, frame) { stop(); range.max = frames - 1; range.value = frame; show(); } };
  }
  return { box, fit, seek, controls };
})();
