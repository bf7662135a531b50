// The page: a picture, a chain of filters, and what the service makes of them.

import { Problem, addressOf, hasToken, readTiming, request, useTokenDialog } from "./api.js";
import { curlCode, pythonCode, queryOf, readFragment, shellCode } from "./chain.js";
import { byId, debounced, element } from "./dom.js";
import { histogramOf } from "./histogram.js";
import { formatOf, pictureOf, shortNumber } from "./picture.js";
import { sampleFile } from "./sample.js";
import { Steps } from "./steps.js";
import { View } from "./view.js";

const PAUSE = 120; // milliseconds after the last change until the service is asked
const SLOW = 250; // milliseconds until the page says that it works
const SHOWN = "image/png, application/x-npy;q=0.5";
const SUFFIXES = { PNG: "png", TIFF: "tif", JPEG: "jpg", NPY: "npy" };
const FORMAT_WORDS = { PNG: "PNG", TIFF: "TIFF", JPEG: "JPEG (lossy)", NPY: "NPY (NumPy)" };

const state = {
  file: null,
  before: null,
  beforeBlob: null, // what the picture before is drawn from
  after: null,
  answer: null, // {blob, texts, isImage}: the newest
  work: null, // the AbortController of the request that runs
  opening: null, // and of the file that is being opened
  mediaTypes: {},
  needsToken: false,
};

const view = new View();
const steps = new Steps({ changed: chainChanged, picture: () => state.before });

// Words --------------------------------------------------------------------------------------------------------------

function say(text) {
  byId("status").textContent = text;
}

function asSentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** Show an error that concerns no step; `again` is what a button tries. */
function complain(text, again = null) {
  byId("notice-text").textContent = text ? asSentence(text) : "";
  byId("notice").hidden = !text;
  byId("retry").hidden = !again;
  byId("retry").onclick = again;
}

const milliseconds = (value) => (value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

function setBusy(isBusy) {
  byId("progress").hidden = !isBusy;
  byId("stage").setAttribute("aria-busy", isBusy);
}

// The picture --------------------------------------------------------------------------------------------------------

async function openFile(file) {
  state.work?.abort();
  state.opening?.abort();
  const work = new AbortController();
  state.opening = work;
  complain("");
  say("Opening …");
  setBusy(true);
  try {
    const [picture, blob] = await readBefore(file, work.signal);
    if (work.signal.aborted) return;
    Object.assign(state, { file, before: picture, beforeBlob: blob, after: null, answer: null });
  } catch (error) {
    if (work.signal.aborted) return;
    setBusy(false);
    say("");
    complain(error.message, () => openFile(file));
    return;
  }
  setBusy(false);
  byId("stage").classList.remove("is-empty");
  byId("empty").hidden = true;
  byId("histogram").hidden = false;
  byId("zoom").hidden = false;
  byId("download").disabled = false;
  byId("page-number").value = 1;
  steps.render(); // sliders have the new picture's range
  say("");
  show();
  run();
}

/** The picture and the blob that it is drawn from; the service reads what browsers do not. */
async function readBefore(file, signal) {
  const format = await formatOf(file);
  if (format === "PNG" || format === "JPEG") {
    try {
      return [await pictureOf(file), file];
    } catch {
      // Not every kind of JPEG is for browsers.
    }
  }
  const response = await request("v1/apply", { method: "POST", body: file, headers: { Accept: SHOWN }, signal });
  const blob = await response.blob();
  return [await pictureOf(blob), blob];
}

async function openSample() {
  say("Drawing the sample …");
  await new Promise((resolve) => { setTimeout(resolve, 20); });
  await openFile(await sampleFile());
}

function show() {
  const { before, after } = state;
  view.show(before, after);
  showAbout();
  byId("histograms").replaceChildren(
    ...(before ? [histogramOf("before", before)] : []),
    ...(after ? [histogramOf("after", after)] : []),
  );
  const pages = Math.max(before?.pages ?? 1, after?.pages ?? 1);
  byId("pages").hidden = pages < 2;
  byId("page-number").max = pages;
  byId("pages-text").textContent = `Page ${byId("page-number").value} of ${pages}`;
  const words = before ? `${state.file.name}, ${sizeOf(before)}` : "No picture yet";
  byId("canvas").setAttribute("aria-label", after ? `${words}, before and after ${state.answer.texts.join(", ")}` : words);
  showCode();
}

const sizeOf = ({ width, height }) => `${width} × ${height}`;

function showAbout() {
  const { before, after, file } = state;
  if (!before) return;
  const parts = [`${file.name}: ${sizeOf(before)}, ${before.dtype}${stretch(before)}.`];
  if (after) parts.push(`After: ${sizeOf(after)}, ${after.dtype}${stretch(after)}.`);
  byId("about").textContent = parts.join(" ");
}

function stretch({ isStretched, low, high }) {
  return isStretched ? `, shown from minimum ${shortNumber(low)} (black) to maximum ${shortNumber(high)} (white)` : "";
}

async function turnPage() {
  const page = Number(byId("page-number").value) - 1;
  const at = (picture, blob) => (picture && picture.pages > 1 ? pictureOf(blob, page) : picture);
  const [before, after] = await Promise.all([at(state.before, state.beforeBlob), at(state.after, state.answer?.blob)]);
  if (Number(byId("page-number").value) !== page + 1) return;
  Object.assign(state, { before, after });
  show();
}

// The chain ----------------------------------------------------------------------------------------------------------

const runSoon = debounced(() => run(), PAUSE);
const keepInAddress = debounced(() => history.replaceState(null, "", fragmentOf() || location.pathname + location.search), 150);

function fragmentOf() {
  const query = queryOf(steps.list.map((step) => [step.isOn ? "f" : "off", steps.text(step)]));
  return query && `#${query}`;
}

function chainChanged() {
  state.work?.abort(); // its answer is to a chain that is gone
  showCode();
  keepInAddress();
  runSoon();
}

function readAddress() {
  if (location.hash !== fragmentOf()) {
    steps.set(readFragment(location.hash));
    showCode();
    run();
  }
}

/** Ask the service for the picture after. A newer call ends an older one. */
async function run() {
  state.work?.abort();
  if (!state.file) return;
  const texts = steps.running.map((step) => steps.text(step));
  steps.clearProblems();
  complain("");
  if (steps.isWrong) {
    say("A value is missing or wrong.");
    setBusy(false);
    return;
  }
  const work = new AbortController();
  state.work = work;
  const slow = setTimeout(() => { setBusy(true); say("Working …"); }, SLOW);
  try {
    await (texts.length ? apply(texts, work.signal) : showUnfiltered());
  } catch (error) {
    if (work.signal.aborted) return;
    refused(error);
  } finally {
    clearTimeout(slow);
    if (!work.signal.aborted) setBusy(false);
  }
}

function showUnfiltered() {
  Object.assign(state, { after: null, answer: null });
  byId("values").hidden = true;
  byId("time").hidden = true;
  say("");
  steps.showTimes([]);
  show();
}

async function apply(texts, signal) {
  const began = performance.now();
  const response = await post(texts, SHOWN, signal);
  const blob = await response.blob();
  const isImage = !(response.headers.get("Content-Type") ?? "").includes("json");
  const after = isImage ? await pictureOf(blob) : null;
  const values = isImage ? "" : JSON.stringify(JSON.parse(await blob.text()), null, 1);
  if (signal.aborted) return;
  Object.assign(state, { after, answer: { blob, texts, isImage } });
  if (after && Number(byId("page-number").value) > 1) await turnPage();
  showValues(texts, values);
  chooseFormat();
  showTimes(response.headers, performance.now() - began);
  show();
}

const post = (texts, accept, signal) => {
  const query = queryOf(texts.map((text) => ["f", text]));
  return request(query ? `v1/apply?${query}` : "v1/apply", { method: "POST", body: state.file, headers: { Accept: accept }, signal });
};

function refused(error) {
  if (!(error instanceof Problem)) console.error(error);
  state.after = null;
  state.answer = null;
  byId("values").hidden = true;
  byId("time").hidden = true;
  steps.showTimes([]);
  show();
  if (error instanceof Problem && steps.showProblem(error)) {
    say("A step was refused; the reason stands at the step.");
    return;
  }
  say("");
  complain(error.message, run);
}

/** A result that is no picture. */
function showValues(texts, values) {
  byId("values").hidden = !values;
  byId("values-title").textContent = `Result of ${texts.at(-1).split(":")[0]}`;
  byId("values-text").textContent = values.replace(/\n\s+(?=-?[\d.])/g, " ").replace(/(?<=\d)\n\s*\]/g, " ]");
}

function showTimes(headers, total) {
  const timing = readTiming(headers.get("Server-Timing"));
  const filters = timing.filter(({ name }) => /^f\d+$/.test(name));
  steps.showTimes(filters.map(({ milliseconds: spent, words }) => `${milliseconds(spent)} ${/\((.*)\)/.exec(words)?.[1] ?? ""}`));
  const isKept = ["hit", "remote"].includes(headers.get("Gpuimg-Cache"));
  const named = Object.fromEntries(timing.map(({ name, milliseconds: spent }) => [name, spent]));
  const served = ["queue", "decode", "compute", "encode"].reduce((sum, name) => sum + (named[name] ?? 0), 0);
  const rows = [
    ["waiting", named.queue],
    ["decoding", named.decode],
    ["filters", named.compute],
    ["encoding", named.encode],
    ["transfer and display", Math.max(0, total - served)],
  ].filter(([, spent]) => spent !== undefined);
  byId("times").replaceChildren(
    ...rows.flatMap(([name, spent]) => [element("dt", {}, name), element("dd", {}, milliseconds(spent))]),
    element("dt", { class: "total" }, "total"),
    element("dd", { class: "total" }, milliseconds(total)),
  );
  byId("time").hidden = false;
  say(isKept ? `Done in ${milliseconds(total)}, from the service's cache.` : `Done in ${milliseconds(total)}.`);
}

// Download -----------------------------------------------------------------------------------------------------------

/** Choose a format that holds the result, unless the one that is chosen does. */
function chooseFormat() {
  const format = byId("format");
  if (state.answer?.blob.type === "application/x-npy" && ["PNG", "JPEG"].includes(format.value) && "TIFF" in state.mediaTypes) {
    format.value = "TIFF";
  }
}

async function download() {
  const text = byId("download-text");
  const { answer, mediaTypes } = state;
  const mediaType = mediaTypes[byId("format").value];
  text.className = "quiet";
  text.textContent = "Working …";
  try {
    const isThere = answer && (answer.blob.type === mediaType || !answer.isImage);
    const texts = steps.running.map((step) => steps.text(step));
    const blob = isThere ? answer.blob : await (await post(texts, mediaType)).blob();
    save(blob, blob.type.includes("json") ? `${stem()}.json` : targetName());
    text.textContent = `Saved, ${bytes(blob.size)}.`;
  } catch (error) {
    text.className = "error";
    text.textContent = asSentence(error.message);
  }
}

const bytes = (size) => (size < 1e6 ? `${Math.max(1, Math.round(size / 1e3))} kB` : `${(size / 1e6).toFixed(1)} MB`);
const stem = () => `${(state.file?.name ?? "photo.png").replace(/\.[^.]*$/, "")}-filtered`;
const targetName = () => `${stem()}.${SUFFIXES[byId("format").value] ?? "png"}`;

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// Code ---------------------------------------------------------------------------------------------------------------

const TABS = { "tab-python": pythonCode, "tab-curl": curlCode, "tab-shell": shellCode };

function showCode() {
  const chosen = Object.keys(TABS).find((id) => byId(id).getAttribute("aria-selected") === "true");
  byId("code").textContent = TABS[chosen]({
    texts: steps.running.map((step) => steps.text(step)),
    source: state.file?.name ?? "photo.png",
    target: targetName(),
    isImage: state.answer?.isImage ?? true,
    axes: axesOf(state.before),
    address: addressOf("v1/apply"),
    mediaType: state.mediaTypes[byId("format").value] ?? "image/png",
    needsToken: state.needsToken || hasToken(),
  });
}

/** What the axes of a stack are; "" for a picture. */
const axesOf = (picture) => (!picture || picture.pages < 2 ? "" : picture.channels > 1 ? "NYXC" : "NYX");

function chooseTab(id) {
  for (const each of Object.keys(TABS)) {
    byId(each).setAttribute("aria-selected", each === id);
    byId(each).tabIndex = each === id ? 0 : -1;
  }
  byId("code").setAttribute("aria-labelledby", id);
  byId("copied").textContent = "";
  showCode();
}

function tabTyped(event) {
  const ids = Object.keys(TABS);
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  const next = ids[(ids.indexOf(event.target.id) + by + ids.length) % ids.length];
  chooseTab(next);
  byId(next).focus();
  event.preventDefault();
}

async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = done;
  } catch {
    getSelection().selectAllChildren(byId("code")); // without https there is no clipboard
    byId("copied").textContent = "Press Ctrl+C to copy what is selected.";
  }
}

// Token --------------------------------------------------------------------------------------------------------------

function askForToken(isWrong) {
  state.needsToken = true;
  const dialog = byId("token-dialog");
  byId("token-text").textContent = isWrong ? "The service does not accept this token." : "This service asks for a token.";
  byId("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true });
  });
}

function listenToTokenDialog() {
  const dialog = byId("token-dialog");
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close(byId("token").value.trim());
  });
  byId("token-cancel").addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("cancel", () => { dialog.returnValue = ""; });
}

// Beginning ----------------------------------------------------------------------------------------------------------

function listenToFiles() {
  const take = (files) => { if (files?.[0]) openFile(files[0]); };
  for (const id of ["open", "empty-open"]) byId(id).addEventListener("click", () => byId("file").click());
  for (const id of ["sample", "empty-sample"]) byId(id).addEventListener("click", openSample);
  byId("file").addEventListener("change", () => {
    take(byId("file").files);
    byId("file").value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("stage").classList.add("is-target");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) byId("stage").classList.remove("is-target");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    byId("stage").classList.remove("is-target");
    take(event.dataTransfer?.files);
  });
}

function listen() {
  listenToFiles();
  listenToTokenDialog();
  useTokenDialog(askForToken);
  byId("page-number").addEventListener("input", turnPage);
  byId("format").addEventListener("change", showCode);
  byId("download").addEventListener("click", download);
  byId("copy").addEventListener("click", () => copy(byId("code").textContent, "Copied."));
  byId("share").addEventListener("click", () => copy(location.href.split("#")[0] + fragmentOf(), "Link copied."));
  for (const id of Object.keys(TABS)) {
    byId(id).addEventListener("click", () => chooseTab(id));
    byId(id).addEventListener("keydown", tabTyped);
  }
  window.addEventListener("hashchange", readAddress);
}

async function begin() {
  complain("");
  try {
    const { filters } = await (await request("v1/filters")).json();
    const info = await (await request("v1/info")).json();
    steps.offer(filters);
    state.mediaTypes = info.media_types;
    const formats = Object.keys(SUFFIXES).filter((name) => name in info.media_types);
    byId("format").replaceChildren(...formats.map((name) => element("option", { value: name }, FORMAT_WORDS[name])));
    byId("version").textContent = `${info.version} on ${info.backends.filter((each) => each.usable).map((each) => each.name).join(", ")}`;
    steps.set(readFragment(location.hash));
  } catch (error) {
    complain(error.message, begin);
    return;
  }
  showCode();
  run();
}

listen();
chooseTab("tab-python");
begin();
