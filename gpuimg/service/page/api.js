// Talking to the service.

const TOKEN_KEY = "gpuimg-token";

/** A refusal, as the service words it (RFC 9457). */
export class Problem extends Error {
  constructor(status, members, retryAfter = 0) {
    super(members.detail ?? `the service answered ${status}`);
    this.status = status;
    this.step = members.step;
    this.filter = members.filter;
    this.parameter = members.parameter;
    this.retryAfter = retryAfter;
  }
}

let askForToken = () => Promise.resolve(null);
let asked = null; // the dialog that is open, for all requests that wait for it

/** `ask(isWrong)` resolves to the token that was entered, or to null. */
export function useTokenDialog(ask) {
  askForToken = ask;
}

export const hasToken = () => sessionStorage.getItem(TOKEN_KEY) !== null;
export const addressOf = (path) => new URL(path, document.baseURI).href;

async function refusal(response) {
  const members = await response.json().catch(() => ({}));
  return new Problem(response.status, members, Number(response.headers.get("Retry-After")) || 0);
}

/** Fetch a path of the service; a `Problem` where it refuses. */
export async function request(path, settings = {}) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = { ...settings.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(addressOf(path), { ...settings, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "the service cannot be reached" });
  }
  if (response.status === 401 && (await enterToken(token))) return request(path, settings);
  if (!response.ok) throw await refusal(response);
  return response;
}

/** Ask for a token, unless another one than was sent is there already. */
async function enterToken(sent) {
  if (sessionStorage.getItem(TOKEN_KEY) !== sent) return true;
  asked ??= askForToken(sent !== null).finally(() => { asked = null; });
  const entered = await asked;
  if (entered !== null) sessionStorage.setItem(TOKEN_KEY, entered);
  return entered !== null;
}

/** The parts of a Server-Timing header: {name, milliseconds, words}. */
export function readTiming(header) {
  const parts = (header ?? "").matchAll(/([\w-]+);dur=([\d.]+)(?:;desc="([^"]*)")?/g);
  return [...parts].map(([, name, duration, words]) => ({ name, milliseconds: Number(duration), words: words ?? "" }));
}
