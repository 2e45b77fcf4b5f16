"use strict";
// The pixels of pictures, and arithmetic on them. Pages opened as files may show a picture but not read it, so each
// picture lies a second time in a script that hands it over as text; nothing here touches the page but `load`.
const Pixels = (() => {
  const MOST = 1 << 21; // pixels whose spectrum is computed; of a larger picture it is that of its middle
  const SIDE = 1024; // of that middle
  const LOW = -20, HIGH = 60; // dB over one grey level: black and white of a spectrum
  const waiting = new Map(), kept = new Map();
  const KEPT = 24; // pictures whose pixels stay in memory

  // What the script of a picture calls.
  function take(name, base64) {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      waiting.get(name).done(context.getImageData(0, 0, canvas.width, canvas.height));
    };
    image.onerror = () => waiting.get(name).failed(new Error(name));
    image.src = `data:image/png;base64,${base64}`;
  }
  // A promise of the pixels of a picture: {width, height, data}, four bytes a pixel.
  function load(name) {
    if (kept.has(name)) {
      const found = kept.get(name);
      kept.delete(name); // and to the end again: what was not used for longest goes first
      kept.set(name, found);
      return found;
    }
    const promise = new Promise((done, failed) => {
      waiting.set(name, { done, failed });
      const script = document.createElement("script");
      script.src = `pictures/${name.slice(0, 2)}/${name}.js`;
      script.onerror = () => failed(new Error(name));
      document.head.append(script);
    });
    kept.set(name, promise);
    promise.catch(() => kept.delete(name));
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
    return promise;
  }
  // One of the frames that lie below each other in a picture.
  function frame(picture, frames, number) {
    const height = picture.height / frames, size = picture.width * height * 4;
    return { width: picture.width, height, data: picture.data.subarray(number * size, (number + 1) * size) };
  }
  // `times` the difference of each channel: signed about a grey of 128, or its amount; clipped to 0 .. 255.
  function difference(a, b, times, signed) {
    const data = new Uint8ClampedArray(a.data.length);
    for (let place = 0; place < data.length; place += 4) {
      for (let channel = place; channel < place + 3; channel += 1) {
        const own = times * (a.data[channel] - b.data[channel]);
        data[channel] = signed ? 128 + own : Math.abs(own);
      }
      data[place + 3] = 255;
    }
    return { width: a.width, height: a.height, data };
  }
  // {rms, most}: root mean square over pixels and channels, and the largest amount, in grey levels.
  function apart(a, b) {
    let sum = 0, most = 0;
    for (let place = 0; place < a.data.length; place += 4) {
      for (let channel = place; channel < place + 3; channel += 1) {
        const own = Math.abs(a.data[channel] - b.data[channel]);
        sum += own * own;
        if (own > most) most = own;
      }
    }
    return { rms: Math.sqrt(sum / (a.width * a.height * 3)), most };
  }

  // A plan of the discrete Fourier transform of `n` complex numbers, in place: by halves where n is a power of two, else
  // by Bluestein's convolution of a length that is one.
  function plan(n) {
    if ((n & (n - 1)) === 0) return halves(n);
    let size = 1;
    while (size < 2 * n - 1) size *= 2;
    const inner = halves(size), cosine = new Float64Array(n), sine = new Float64Array(n);
    const kernel = [new Float64Array(size), new Float64Array(size)];
    for (let k = 0; k < n; k += 1) {
      const angle = Math.PI * ((k * k) % (2 * n)) / n;
      [cosine[k], sine[k]] = [Math.cos(angle), Math.sin(angle)];
      kernel[0][k] = kernel[0][(size - k) % size] = cosine[k];
      kernel[1][k] = kernel[1][(size - k) % size] = sine[k];
    }
    inner(...kernel);
    const [x, y] = [new Float64Array(size), new Float64Array(size)];
    return (re, im) => {
      x.fill(0);
      y.fill(0);
      for (let k = 0; k < n; k += 1) {
        x[k] = re[k] * cosine[k] + im[k] * sine[k];
        y[k] = im[k] * cosine[k] - re[k] * sine[k];
      }
      inner(x, y);
      for (let k = 0; k < size; k += 1) { // the conjugate of the product, so that the same transform goes back
        const real = x[k] * kernel[0][k] - y[k] * kernel[1][k];
        y[k] = -(x[k] * kernel[1][k] + y[k] * kernel[0][k]);
        x[k] = real;
      }
      inner(x, y);
      for (let k = 0; k < n; k += 1) {
        const real = x[k] / size, imaginary = -y[k] / size;
        re[k] = real * cosine[k] + imaginary * sine[k];
        im[k] = imaginary * cosine[k] - real * sine[k];
      }
    };
  }
  function halves(n) {
    const cosine = new Float64Array(n >> 1), sine = new Float64Array(n >> 1), turned = new Uint32Array(n);
    for (let k = 0; k < n / 2; k += 1) {
      cosine[k] = Math.cos(2 * Math.PI * k / n);
      sine[k] = -Math.sin(2 * Math.PI * k / n);
    }
    for (let k = 1; k < n; k += 1) turned[k] = (turned[k >> 1] >> 1) | (k & 1 ? n >> 1 : 0);
    return (re, im) => {
      for (let k = 0; k < n; k += 1) {
        const other = turned[k];
        if (other > k) {
          [re[k], re[other]] = [re[other], re[k]];
          [im[k], im[other]] = [im[other], im[k]];
        }
      }
      for (let half = 1; half < n; half *= 2) {
        const step = n / (2 * half);
        for (let start = 0; start < n; start += 2 * half) {
          for (let k = 0; k < half; k += 1) {
            const one = start + k, two = one + half, c = cosine[k * step], s = sine[k * step];
            const real = re[two] * c - im[two] * s, imaginary = re[two] * s + im[two] * c;
            re[two] = re[one] - real;
            im[two] = im[one] - imaginary;
            re[one] += real;
            im[one] += imaginary;
          }
        }
      }
    };
  }
  // The 2-D transform of `width` x `height` real numbers, in place, row by row; frequency 0 stays at the corner.
  function transform(re, im, width, height) {
    const along = plan(width), down = plan(height);
    for (let row = 0; row < height; row += 1) {
      along(re.subarray(row * width, (row + 1) * width), im.subarray(row * width, (row + 1) * width));
    }
    const x = new Float64Array(height), y = new Float64Array(height);
    for (let column = 0; column < width; column += 1) {
      for (let row = 0; row < height; row += 1) [x[row], y[row]] = [re[row * width + column], im[row * width + column]];
      down(x, y);
      for (let row = 0; row < height; row += 1) [re[row * width + column], im[row * width + column]] = [x[row], y[row]];
    }
  }
  // The magnitude of the 2-D transform of a - b, divided by the root of the number of pixels (so that white noise of s
  // grey levels has s everywhere), its root mean square over the channels; frequency 0 in the middle. {width, height,
  // values, part}: `part` says that a large picture gave only its middle.
  function spectrum(a, b) {
    const part = a.width * a.height > MOST;
    const width = part ? Math.min(SIDE, a.width) : a.width, height = part ? Math.min(SIDE, a.height) : a.height;
    const left = (a.width - width) >> 1, top = (a.height - height) >> 1, values = new Float64Array(width * height);
    const re = new Float64Array(width * height), im = new Float64Array(width * height);
    for (let channel = 0; channel < 3; channel += 1) {
      im.fill(0);
      for (let row = 0; row < height; row += 1) {
        for (let column = 0; column < width; column += 1) {
          const place = 4 * ((top + row) * a.width + left + column) + channel;
          re[row * width + column] = a.data[place] - b.data[place];
        }
      }
      transform(re, im, width, height);
      for (let row = 0; row < height; row += 1) {
        const to = ((row + (height >> 1)) % height) * width;
        for (let column = 0; column < width; column += 1) {
          const place = row * width + column;
          values[to + (column + (width >> 1)) % width] += re[place] * re[place] + im[place] * im[place];
        }
      }
    }
    const scale = 1 / (3 * width * height);
    for (let place = 0; place < values.length; place += 1) values[place] = Math.sqrt(values[place] * scale);
    return { width, height, values, part };
  }
  // A spectrum as a grey picture: its logarithm, black at a tenth of a grey level, white at a thousand.
  function shown(found) {
    const data = new Uint8ClampedArray(found.values.length * 4);
    for (let place = 0; place < found.values.length; place += 1) {
      const level = 255 * (20 * Math.log10(Math.max(found.values[place], 1e-9)) - LOW) / (HIGH - LOW);
      data[4 * place] = data[4 * place + 1] = data[4 * place + 2] = level;
      data[4 * place + 3] = 255;
    }
    return { width: found.width, height: found.height, data };
  }

  // What is seen of a picture: {scale, x, y}, screen pixels for each of its own, and its point in the middle of the pane.
  // `about`: the point of the picture that stays where it is.
  function zoomed(view, scale, about) {
    const by = view.scale / scale;
    return { scale, x: about.x + (view.x - about.x) * by, y: about.y + (view.y - about.y) * by };
  }
  // The point of the picture under the point (x, y) of a pane of that width and height, and back.
  const toPicture = (view, width, height, x, y) => ({ x: view.x + (x - width / 2) / view.scale, y: view.y + (y - height / 2) / view.scale });
  const toPane = (view, width, height, x, y) => ({ x: width / 2 + (x - view.x) * view.scale, y: height / 2 + (y - view.y) * view.scale });
  // The view, moved so that no more than the picture is looked at: what is smaller than the pane stays in its middle.
  function held(view, width, height, own) {
    const one = (middle, pane, length) => {
      const half = pane / (2 * view.scale);
      return length <= 2 * half ? length / 2 : Math.min(length - half, Math.max(half, middle));
    };
    return { scale: view.scale, x: one(view.x, width, own.width), y: one(view.y, height, own.height) };
  }
  return { take, load, frame, difference, apart, plan, transform, spectrum, shown, zoomed, toPicture, toPane, held };
})();
