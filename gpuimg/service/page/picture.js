// Pictures that can be drawn, with what the page says of them: from a file that the browser reads, or from an NPY file.

import { readNpy } from "./npy.js";

const BINS = 256;
const COUNTED = 1 << 20; // pixels at most that a histogram of a browser's picture counts
const SPAN = { bool: [0, 1], uint8: [0, 255], uint16: [0, 65535] }; // of the dtypes that PNG files hold

/** PNG, JPEG, TIFF or NPY by a file's first bytes, otherwise "". */
export async function formatOf(blob) {
  const head = new Uint8Array(await blob.slice(0, 8).arrayBuffer());
  const text = String.fromCharCode(...head);
  if (text.startsWith("\x89PNG")) return "PNG";
  if (text.startsWith("\xff\xd8\xff")) return "JPEG";
  if (text.startsWith("\x93NUMPY")) return "NPY";
  return /^(II[*+]\0|MM\0[*+])/.test(text) ? "TIFF" : "";
}

/**
 * {width, height, source, dtype, low, high, counts, isStretched, pages}: `source` can be drawn, `counts` is the histogram
 * between `low` and `high`, all channels together; `isStretched` where low is shown as black and high as white.
 */
export async function pictureOf(blob, page = 0) {
  return (await formatOf(blob)) === "NPY" ? pictureOfArray(await blob.arrayBuffer(), page) : pictureOfFile(blob);
}

async function pictureOfFile(blob) {
  const source = await createImageBitmap(blob);
  const dtype = await dtypeOf(blob);
  const [low, high] = SPAN[dtype];
  return {
    width: source.width, height: source.height, source, dtype, low, high,
    counts: countsOf(source), isStretched: false, pages: 1, channels: 3,
  };
}

/** A PNG file's header has the depth; other files that browsers read have 8 bits. */
async function dtypeOf(blob) {
  if ((await formatOf(blob)) !== "PNG") return "uint8";
  const depth = new Uint8Array(await blob.slice(24, 26).arrayBuffer());
  if (depth[0] === 16) return "uint16";
  return depth[0] === 1 && depth[1] === 0 ? "bool" : "uint8";
}

function countsOf(source) {
  const scale = Math.min(1, Math.sqrt(COUNTED / (source.width * source.height)));
  const width = Math.max(1, Math.round(source.width * scale));
  const height = Math.max(1, Math.round(source.height * scale));
  const context = canvasOf(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const counts = new Float64Array(BINS);
  for (let at = 0; at < data.length; at += 4) {
    counts[data[at]] += 1;
    counts[data[at + 1]] += 1;
    counts[data[at + 2]] += 1;
  }
  return counts;
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// Arrays -------------------------------------------------------------------------------------------------------------

/** [pages, height, width, channels] of an array: (H, W), (H, W, C), (N, H, W) or (N, H, W, C). */
function layoutOf(shape) {
  const hasChannels = shape.length > 2 && shape.at(-1) <= 4;
  const channels = hasChannels ? shape.at(-1) : 1;
  const [height, width] = shape.slice(hasChannels ? -3 : -2);
  return [shape.reduce((product, extent) => product * extent, 1) / (height * width * channels), height, width, channels];
}

function pictureOfArray(buffer, page) {
  const { dtype, shape, values } = readNpy(buffer);
  const [pages, height, width, channels] = layoutOf(shape);
  const length = height * width * channels;
  const shown = values.subarray(page * length, (page + 1) * length);
  const [low, high] = SPAN[dtype] && dtype !== "uint16" ? SPAN[dtype] : rangeOf(values);
  const canvas = canvasOf(width, height);
  const { image, counts } = imageOf(shown, width, height, channels, low, high);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { width, height, source: canvas, dtype, low, high, counts, isStretched: !SPAN[dtype] || dtype === "uint16", pages, channels };
}

function rangeOf(values) {
  let low = Infinity;
  let high = -Infinity;
  for (let at = 0; at < values.length; at += 1) { // an iterator takes several times as long
    const value = values[at];
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low > high ? [0, 0] : [low, high];
}

function imageOf(values, width, height, channels, low, high) {
  const image = new ImageData(width, height);
  const counts = new Float64Array(BINS);
  const { data } = image;
  const scale = high > low ? 255 / (high - low) : 0;
  const colours = channels < 3 ? 1 : 3;
  for (let pixel = 0, from = 0, to = 0; pixel < width * height; pixel += 1, from += channels, to += 4) {
    for (let colour = 0; colour < colours; colour += 1) {
      const value = values[from + colour];
      data[to + colour] = (value - low) * scale; // rounded and clipped by the array; NaN becomes 0
      if (!Number.isNaN(value)) counts[data[to + colour]] += 1;
    }
    if (colours === 1) data[to + 1] = data[to + 2] = data[to];
    data[to + 3] = 255;
  }
  return { image, counts };
}

/** A number for people: enough digits to tell pixels apart, no more. */
export function shortNumber(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value).replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}
