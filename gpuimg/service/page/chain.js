// A chain of filters as text: in the page's address, for the service, and as code in three languages.
//
// A step is {name, params, isOn}; `params` holds each value as the text that stands in a step: 2.5, None, (2,0.5), reflect.

const TOKEN = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()[\],]|[^\s()[\],='"]+/g;
const CONSTANTS = ["None", "True", "False"];
const CLOSING = { "(": ")", "[": "]" };

const tokensOf = (text) => text.match(TOKEN) ?? [];

/** The parts between the separators that stand in no brackets or quotes. */
function split(text, separator) {
  const parts = [""];
  let depth = 0;
  for (const token of text.match(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^]/g) ?? []) {
    if (token in CLOSING) depth += 1;
    if (token === ")" || token === "]") depth -= 1;
    if (token === separator && depth === 0) parts.push("");
    else parts[parts.length - 1] += token;
  }
  return parts;
}

/** Whether a text is a value: a number, a word, None, True, False, or brackets around such values. */
export function isValue(text) {
  const tokens = tokensOf(text);
  const left = text.replace(TOKEN, "").trim();
  const open = [];
  for (const token of tokens) {
    if (token in CLOSING) open.push(CLOSING[token]);
    else if ((token === ")" || token === "]") && open.pop() !== token) return false;
  }
  return tokens.length > 0 && left === "" && open.length === 0 && tokens[0] !== ",";
}

/** What was typed into a field as a value: "2, 0.5" stands for (2,0.5). */
export function valueOf(typed) {
  const parts = split(typed.trim(), ",").map((part) => part.trim());
  const text = parts.length > 1 ? `(${parts.join(",")})` : parts[0];
  return tokensOf(text).join("") === "" || !isValue(text) ? null : tokensOf(text).join("");
}

/** A value as it is shown in a field. */
export function typedOf(value) {
  if (value === "None") return "";
  const inner = value.startsWith("(") && value.endsWith(")") ? value.slice(1, -1) : value;
  return split(inner, ",").filter((part) => part).join(", ");
}

/** A value of JSON as the text of a step. */
export function textOf(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  return Array.isArray(value) ? `(${value.map(textOf).join(",")})` : String(value);
}

export function readStep(text) {
  const at = text.indexOf(":");
  const name = (at < 0 ? text : text.slice(0, at)).trim();
  const params = {};
  for (const part of at < 0 ? [] : split(text.slice(at + 1), ",")) {
    const equals = part.indexOf("=");
    const value = equals < 0 ? "" : part.slice(equals + 1).trim();
    if (equals > 0 && isValue(value)) params[part.slice(0, equals).trim()] = value;
  }
  return { name, params, isOn: true };
}

/** Defaults are left out; `defaults` has them as texts. */
export function writeStep({ name, params }, defaults = {}) {
  const written = Object.entries(params).filter(([key, value]) => value !== defaults[key]);
  return [name, written.map(([key, value]) => `${key}=${value}`).join(",")].filter((part) => part).join(":");
}

// The page's address -------------------------------------------------------------------------------------------------

const escaped = (text) => encodeURIComponent(text).replace(/%3A|%3D|%2C/g, decodeURIComponent);

/** The query of a request, or what stands after # in the page's address: `f` runs, `off` does not. */
export const queryOf = (named) => named.map(([key, text]) => `${key}=${escaped(text)}`).join("&");

/** The steps of an address. */
export function readFragment(fragment) {
  const steps = [];
  for (const part of fragment.replace(/^#/, "").split("&")) {
    const [, key, text] = /^(f|off)=(.+)$/.exec(part) ?? [];
    if (!key) continue;
    try {
      steps.push({ ...readStep(decodeURIComponent(text)), isOn: key === "f" });
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
    }
  }
  return steps;
}

// Code ---------------------------------------------------------------------------------------------------------------

const shellQuoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const safeName = (name) => (name.startsWith("-") ? `./${name}` : name);

/** A value of a step in Python. */
export function pythonValue(value) {
  const inPython = (token) => {
    if (token === ",") return ", ";
    if (/^-?(nan|inf)$/.test(token)) return `float("${token}")`;
    return /^[A-Za-z_]/.test(token) && !CONSTANTS.includes(token) ? `"${token}"` : token;
  };
  return tokensOf(value).map(inPython).join("").replace(/, \)$/, ",)");
}

/** `texts` are those of the steps, `axes` of a stack; `isImage`: whether the result is one. */
export function pythonCode({ texts, source, target, isImage, axes }) {
  const lines = ["import gpuimg", "", `image = gpuimg.open_image(${JSON.stringify(source)})`];
  texts.forEach((text, number) => {
    const { name, params } = readStep(text);
    const given = Object.entries(params).map(([key, value]) => `${key}=${pythonValue(value)}`);
    if (axes) given.push(`axes="${axes}"`);
    const result = !isImage && number === texts.length - 1 ? "result" : "image";
    lines.push(`${result} = gpuimg.${name}(${["image", ...given].join(", ")})`);
  });
  const saved = `gpuimg.save_image(${[JSON.stringify(target), "image", ...(axes ? [`axes="${axes}"`] : [])].join(", ")})`;
  return [...lines, isImage ? saved : "print(result)"].join("\n");
}

export function curlCode({ texts, source, target, isImage, address, mediaType, needsToken }) {
  const query = queryOf(texts.map((text) => ["f", text]));
  const parts = [
    `curl -f --data-binary ${shellQuoted(`@${safeName(source)}`)}`,
    ...(needsToken ? ['-H "Authorization: Bearer $GPUIMG_TOKEN"'] : []),
    ...(isImage ? [`-H 'Accept: ${mediaType}'`, `-o ${shellQuoted(safeName(target))}`] : []),
    shellQuoted(query ? `${address}?${query}` : address),
  ];
  return parts.join(" \\\n  ");
}

export function shellCode({ texts, source, target, isImage }) {
  const parts = [
    `gpuimg run ${shellQuoted(safeName(source))}`,
    ...(isImage ? [`-o ${shellQuoted(safeName(target))}`] : []),
    ...texts.map((text) => `-f ${shellQuoted(text)}`),
  ];
  return parts.join(" \\\n  ");
}
