// A picture to try filters on, drawn from numbers: sky, ridges in haze, a lake that mirrors them, firs, and the grain of a sensor.

const WIDTH = 1200;
const HEIGHT = 800;
const SHORE = 560; // row

const fraction = (value) => value - Math.floor(value);
const mixed = (from, to, share) => from + (to - from) * share;
const smooth = (from, to, value) => {
  const share = Math.min(Math.max((value - from) / (to - from), 0), 1);
  return share * share * (3 - 2 * share);
};

/** A random number from 0 to 1 for a point of the lattice, the same at each call. */
function lattice(x, y) {
  let bits = Math.imul(x, 374761393) ^ Math.imul(y, 668265263);
  bits = Math.imul(bits ^ (bits >>> 13), 1274126177);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

function noise(x, y) {
  const col = Math.floor(x);
  const row = Math.floor(y);
  const across = smooth(0, 1, x - col);
  const down = smooth(0, 1, y - row);
  const above = mixed(lattice(col, row), lattice(col + 1, row), across);
  return mixed(above, mixed(lattice(col, row + 1), lattice(col + 1, row + 1), across), down);
}

/** Noise of several sizes, each half as large and half as strong as the one before. */
function fractal(x, y, octaves) {
  let sum = 0;
  let weight = 0.5;
  for (let octave = 0; octave < octaves; octave += 1) {
    sum += weight * noise(x, y);
    [x, y, weight] = [x * 2.03 + 17, y * 2.03 + 5, weight / 2];
  }
  return sum;
}

const RIDGES = [
  { base: 400, height: 330, size: 300, colour: [122, 138, 158], rock: 46, seed: 3 },
  { base: 455, height: 220, size: 210, colour: [92, 112, 128], rock: 30, seed: 41 },
  { base: 520, height: 160, size: 150, colour: [62, 84, 84], rock: 24, seed: 77 },
  { base: 552, height: 90, size: 90, colour: [38, 56, 44], rock: 26, seed: 112 },
];

/** The row where a ridge begins at a column. */
const crestOf = ({ base, height, size, seed }, x) => base - height * (fractal(x / size + seed, seed, 6) - 0.22);

function sky(x, y, colour) {
  const depth = smooth(0, SHORE, y);
  const cloud = smooth(0.46, 0.8, fractal(x / 340 + 9, y / 120 + y / 400, 6) + 0.12 * depth);
  const glow = Math.exp(-(((x - 830) / 420) ** 2 + ((y - 330) / 190) ** 2));
  const clear = [mixed(58, 226, depth), mixed(104, 206, depth), mixed(166, 190, depth)];
  const light = [250, mixed(238, 222, depth), mixed(236, 200, depth)];
  for (let channel = 0; channel < 3; channel += 1) {
    colour[channel] = mixed(clear[channel], light[channel], cloud * 0.85) + glow * [48, 26, -18][channel];
  }
}

function land(x, y, crests, colour) {
  sky(x, y, colour);
  RIDGES.forEach(({ colour: own, rock, seed }, at) => {
    if (y <= crests[at]) return;
    const below = y - crests[at];
    const texture = fractal(x / 9 + seed, y / 6 + seed, 3) - 0.44;
    const slope = fractal((x + 9 - below * 0.5) / 74 + seed, (y - 5) / 150, 6) - fractal((x - below * 0.5) / 74 + seed, y / 150, 6);
    const snow = at < 2 ? smooth(0.5, 0.6, fractal(x / 34 + seed, (y - x * 0.3) / 60, 6) + 0.26 - below / (260 - 90 * at) + slope) : 0;
    const haze = smooth(0, 240, below) * 0.5;
    const shade = rock * (1.1 * texture + 7 * slope);
    for (let channel = 0; channel < 3; channel += 1) {
      const stone = mixed(own[channel] + shade, [226, 230, 238][channel] + shade * 0.9, snow);
      colour[channel] = mixed(stone, [196, 192, 188][channel], haze * (1 - at / 4));
    }
  });
}

function fir(context, x, foot, height) {
  context.beginPath();
  context.moveTo(x, foot - height);
  const tiers = Math.max(5, Math.round(height / 9));
  for (const side of [1, -1]) {
    for (let n = 1; n <= tiers; n += 1) {
      const tier = side === 1 ? n : tiers + 1 - n;
      const reach = height * 0.2 * (tier / tiers) * (0.75 + 0.5 * lattice(Math.round(x) + side, tier));
      const row = foot - height * (1 - tier / tiers);
      const edges = [[x + side * reach, row + height * 0.012], [x + side * reach * 0.45, row - height * 0.018]];
      for (const [col, line] of side === 1 ? edges : edges.reverse()) context.lineTo(col, line);
    }
  }
  context.closePath();
  const light = 14 + 14 * lattice(Math.round(x), 7);
  context.fillStyle = `rgb(${light} ${light + 9} ${light + 3})`;
  context.fill();
}

function firs(context) {
  for (let n = 0; n < 46; n += 1) {
    const side = n % 2 ? 1 : 0;
    const away = lattice(n, 900) ** 1.4 * 400;
    const x = side ? WIDTH + 10 - away : -10 + away * 0.8;
    fir(context, x, HEIGHT + 20 - away * 0.04, 70 + (1 - away / 400) * (side ? 330 : 230) * (0.55 + 0.45 * lattice(n, 901)));
  }
}

/** Grain, stronger in the dark, as from a sensor. */
function grain(data) {
  for (let at = 0; at < data.length; at += 4) {
    const seed = at / 4;
    for (let channel = 0; channel < 3; channel += 1) {
      const value = lattice(seed, channel) + lattice(seed, channel + 8) + lattice(seed, channel + 16) - 1.5;
      data[at + channel] += value * mixed(11, 6, data[at + channel] / 255);
    }
  }
}

/** The sample as a PNG file. */
export async function sampleFile() {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(WIDTH, HEIGHT);
  const colour = [0, 0, 0];
  const crestsAt = Array.from({ length: WIDTH }, (_, x) => RIDGES.map((ridge) => crestOf(ridge, x)));
  const draw = (x, y, at, dim) => {
    const col = Math.min(Math.max(Math.round(x), 0), WIDTH - 1);
    land(col, y, crestsAt[col], colour);
    for (let channel = 0; channel < 3; channel += 1) image.data[at + channel] = mixed([22, 36, 46][channel], colour[channel], dim);
    image.data[at + 3] = 255;
  };
  for (let y = 0; y < HEIGHT; y += 1) {
    const depth = y - SHORE;
    for (let x = 0; x < WIDTH; x += 1) {
      const at = 4 * (y * WIDTH + x);
      if (depth < 0) {
        draw(x, y, at, 1);
        continue;
      }
      const ripple = fractal(x / (26 + depth / 3), depth / (1.6 + depth / 28), 4) - 0.47;
      const glint = fraction(lattice(x >> 1, y)) > 0.9985 ? 0.2 : 0;
      draw(x + ripple * depth * 0.22, SHORE - 1 - depth * 1.7 - ripple * (14 + depth * 0.5), at, 0.78 - depth / 900 + glint);
    }
  }
  context.putImageData(image, 0, 0);
  firs(context);
  const drawn = context.getImageData(0, 0, WIDTH, HEIGHT);
  grain(drawn.data);
  context.putImageData(drawn, 0, 0);
  const blob = await new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
  return new File([blob], "sample.png", { type: "image/png" });
}
