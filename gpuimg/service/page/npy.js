// NPY files (NumPy's format 1.0 to 3.0).

const KINDS = {
  b1: ["bool", 1, Uint8Array],
  u1: ["uint8", 1, Uint8Array],
  i1: ["int8", 1, Int8Array],
  u2: ["uint16", 2, Uint16Array],
  i2: ["int16", 2, Int16Array],
  u4: ["uint32", 4, Uint32Array],
  i4: ["int32", 4, Int32Array],
  u8: ["uint64", 8, BigUint64Array],
  i8: ["int64", 8, BigInt64Array],
  f2: ["float16", 2, Uint16Array],
  f4: ["float32", 4, Float32Array],
  f8: ["float64", 8, Float64Array],
  c8: ["complex64", 8, Float32Array],
};

/** {dtype, shape, values}: the values in C order as a typed array of numbers; of complex ones the magnitude. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  const isLong = view.getUint8(6) > 1;
  const start = isLong ? 12 : 10;
  const length = isLong ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length));
  const [, order, kind] = /'descr': '([<>|=])(\w\d+)'/.exec(header) ?? [];
  if (!(kind in KINDS)) throw new Error(`arrays of this dtype cannot be shown: ${header.trim()}`);
  const [dtype, size, Numbers] = KINDS[kind];
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((part) => part.trim()).map(Number);
  const count = shape.reduce((product, extent) => product * extent, 1);
  const bytes = buffer.slice(start + length, start + length + count * size);
  if (order === ">") swap(new Uint8Array(bytes), kind === "c8" ? 4 : size);
  const values = numbersOf(new Numbers(bytes), kind);
  return { dtype, shape, values: header.includes("'fortran_order': True") ? inRows(values, shape) : values };
}

function swap(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function numbersOf(values, kind) {
  if (kind === "u8" || kind === "i8") return Float64Array.from(values, Number);
  if (kind === "f2") return Float32Array.from(values, halfOf);
  if (kind === "c8") return Float32Array.from({ length: values.length / 2 }, (_, n) => Math.hypot(values[2 * n], values[2 * n + 1]));
  return values;
}

function halfOf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function inRows(values, shape) {
  const sorted = new values.constructor(values.length);
  for (let at = 0; at < values.length; at += 1) {
    let rest = at;
    let from = 0;
    let stride = values.length;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      stride /= shape[axis];
      from += (rest % shape[axis]) * stride;
      rest = Math.floor(rest / shape[axis]);
    }
    sorted[at] = values[from];
  }
  return sorted;
}
