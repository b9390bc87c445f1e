// From an image's pixels to the model's input: the same numbers as newnet_tf/data/preprocess.py.
//
// Pillow's antialiased resize in 8 bits: each output pixel is a weighted sum over the input pixels under
// its filter, across first, then down, each pass rounded to whole gray levels. Weights are fractions of
// 2^22. Without antialiasing pixels are interpolated between four, in float32. Pure functions, without a browser: `tests/test_web.py` runs them in node.

const BITS = 22;
const HALF = 1 << (BITS - 1);
const LUMA = [19595, 38470, 7471]; // red, green, blue in 65536ths

const FILTERS = {
  bilinear: { reach: 1, weigh: (x) => (x < 1 ? 1 - x : 0) },
  // Keys' cubic with a = -0.5
  bicubic: {
    reach: 2,
    weigh: (x) =>
      x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0,
  },
};

/** One axis: take `extent` pixels from `start`, resize them to `length`, crop from `offset`. */
export function planAxis(size, other, config) {
  const extent = Math.min(size, config.max_aspect * other);
  if (config.resize_mode === "stretch") {
    return { start: Math.floor((size - extent) / 2), extent, length: config.image_size, offset: 0 };
  }
  const length = Math.floor((config.resize * extent) / Math.min(size, other));
  const spare = length - config.image_size;
  const toEven = Math.floor(spare / 2) % 2;
  return {
    start: Math.floor((size - extent) / 2),
    extent,
    length,
    offset: Math.floor((spare + toEven) / 2),
  };
}

/** The weights of a pass: for each output pixel that the crop keeps, where it begins and its row. */
function weightsOf(axis, size, filter) {
  const scale = axis.extent / axis.length;
  const stretch = Math.max(scale, 1);
  const reach = filter.reach * stretch;
  const rows = [];
  for (let i = axis.offset; i < axis.offset + size; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const last = Math.min(Math.trunc(center + reach + 0.5), axis.extent);
    const weights = [];
    let sum = 0;
    for (let at = first; at < last; at++) {
      const weight = filter.weigh(Math.abs((at - center + 0.5) * (1 / stretch)));
      weights.push(weight);
      sum += weight;
    }
    const whole = weights.map((weight) => {
      const share = (sum ? weight / sum : weight) * (1 << BITS);
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    rows.push({ first, weights: Int32Array.from(whole) });
  }
  return rows;
}

const level = (sum) => Math.min(Math.max(sum >> BITS, 0), 255);

/** Weighted sums along lines: output (line, pixel, channel) of `input`, by the strides of both. */
function pass(input, begin, lines, channels, rows, from, output, to) {
  const { pixel } = from;
  for (let line = 0; line < lines; line++) {
    const start = begin + line * from.line;
    for (let i = 0; i < rows.length; i++) {
      const { first, weights } = rows[i];
      let at = start + first * pixel;
      let red = HALF, green = HALF, blue = HALF; // of gray images, red only
      for (let k = 0; k < weights.length; k++, at += pixel) {
        const weight = weights[k];
        red = (red + Math.imul(input[at], weight)) | 0;
        green = (green + Math.imul(input[at + 1], weight)) | 0;
        blue = (blue + Math.imul(input[at + 2], weight)) | 0;
      }
      const place = line * to.line + i * to.pixel;
      output[place] = level(red);
      if (channels === 3) {
        output[place + 1] = level(green);
        output[place + 2] = level(blue);
      }
    }
  }
}

/** Luma of each pixel, rounded: one channel. */
function gray(data, stride) {
  const levels = new Uint8Array(data.length / stride);
  for (let i = 0, at = 0; i < levels.length; i++, at += stride) {
    const sum = data[at] * LUMA[0] + data[at + 1] * LUMA[1] + data[at + 2] * LUMA[2];
    levels[i] = (sum + 0x8000) >> 16;
  }
  return levels;
}

/** Without antialiasing: for each output pixel of an axis the two that it lies between, and its share. */
function samplesOf(axis, size, { half_pixel_centers: centered }) {
  const { fround } = Math;
  const scale = fround(axis.extent / axis.length);
  const half = centered ? 0.5 : 0;
  return Array.from({ length: size }, (_, i) => {
    const place = fround(fround((axis.offset + i + half) * scale) - half);
    const floor = Math.floor(place);
    const second = Math.min(Math.ceil(place), axis.extent - 1);
    return { first: Math.max(floor, 0), second, share: fround(place - floor) };
  });
}

/** Pixels interpolated between four, as newnet_tf/data/resize.py does: a Float32Array. */
function interpolate(input, begin, width, pixel, channels, across, down) {
  const { fround } = Math;
  const between = (first, second, share) => fround(first + fround(fround(second - first) * share));
  const output = new Float32Array(down.length * across.length * channels);
  let place = 0;
  for (const row of down) {
    const top = begin + row.first * width * pixel;
    const bottom = begin + row.second * width * pixel;
    for (const { first, second, share } of across) {
      for (let c = 0; c < channels; c++) {
        const [left, right] = [first * pixel + c, second * pixel + c];
        const above = between(input[top + left], input[top + right], share);
        const below = between(input[bottom + left], input[bottom + right], share);
        output[place++] = between(above, below, row.share);
      }
    }
  }
  return output;
}

/** Values as whole pixels, halves to even, as NumPy rounds. */
export function rounded(pixels) {
  if (pixels instanceof Uint8Array) return pixels;
  return Uint8Array.from(pixels, (value) => {
    const whole = Math.round(value);
    return whole - value === 0.5 && whole % 2 ? whole - 1 : whole;
  });
}

/**
 * Resizes and crops: all of the preprocessing but the normalization.
 *
 * data: bytes of height x width pixels of three or four channels (a fourth is ignored).
 * config: { image_size, resize, resize_mode, interpolation, antialias, half_pixel_centers, channels,
 *   max_aspect }.
 * Returns a Uint8Array of size x size x channels, without antialiasing a Float32Array.
 */
export function crop(data, width, height, config) {
  const { image_size: size, channels } = config;
  const filter = FILTERS[config.interpolation];
  const x = planAxis(width, height, config);
  const y = planAxis(height, width, config);
  const stride = data.length / (width * height);
  const input = channels === 1 ? gray(data, stride) : data;
  const pixel = channels === 1 ? 1 : stride;
  if (!config.antialias) {
    const corner = (y.start * width + x.start) * pixel;
    const [across, down] = [x, y].map((axis) => samplesOf(axis, size, config));
    return interpolate(input, corner, width, pixel, channels, across, down);
  }
  const across = weightsOf(x, size, filter);
  const down = weightsOf(y, size, filter);
  // only the lines that the crop needs
  const top = down[0].first;
  const lines = down[size - 1].first + down[size - 1].weights.length - top;
  const narrow = new Uint8Array(lines * size * channels);
  const begin = ((y.start + top) * width + x.start) * pixel;
  const line = size * channels;
  pass(input, begin, lines, channels, across, { line: width * pixel, pixel }, narrow, {
    line,
    pixel: channels,
  });
  const moved = down.map((row) => ({ first: row.first - top, weights: row.weights }));
  const output = new Uint8Array(size * line);
  pass(narrow, 0, size, channels, moved, { line: channels, pixel: line }, output, {
    line: channels,
    pixel: line,
  });
  return output;
}

/** `pixel * scale + offset` by channel in float32, as NumPy rounds it, in the model's channel order. */
export function normalize(pixels, config) {
  const { channels, channel_order: order } = config;
  const scale = config.scale.map(Math.fround);
  const offset = config.offset.map(Math.fround);
  const output = new Float32Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    const c = i % channels;
    const pixel = pixels[order === "BGR" ? i + channels - 1 - 2 * c : i];
    output[i] = Math.fround(pixel * scale[c]) + offset[c];
  }
  return output;
}
