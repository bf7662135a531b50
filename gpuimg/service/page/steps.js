// The list of steps and their controls, made from the filters' JSON Schemas.

import { isValue, textOf, typedOf, valueOf, writeStep } from "./chain.js";
import { byId, element } from "./dom.js";

const ASIDE = ["mode", "cval", "truncate", "anti_aliasing"]; // under "more"
const LEVELS = ["value", "low", "high", "low_threshold", "high_threshold"]; // in the units of the picture's values
const OWN = "own"; // the choice of a select that opens a field

const CHOICES = {
  axis: [["None", "both (magnitude)"], ["0", "rows"], ["1", "columns"]],
  "flip axis": [["1", "left and right"], ["0", "up and down"], ["(0,1)", "both"]],
  "rot90 k": [["1", "90° counterclockwise"], ["2", "180°"], ["3", "90° clockwise"]],
};

const middle = ({ low, high }, share = 0.5) => {
  const value = low + (high - low) * share;
  return String(high - low > 2 ? Math.round(value) : Number(value.toPrecision(3)));
};

/** What a parameter without a default begins with, by its name. */
const FIRST = {
  low_sigma: () => "1",
  percentile: () => "20",
  sigma_color: ({ low, high }) => String(high - low > 2 ? Math.round((high - low) / 10) : 0.1),
  sigma_spatial: () => "2",
  weights: () => "[[0,-1,0],[-1,5,-1],[0,-1,0]]",
  dtype: () => "float32",
  axis: () => "1",
  value: (picture) => middle(picture),
  low: (picture) => middle(picture, 0.4),
  high: (picture) => middle(picture, 0.6),
  output_shape: ({ width, height }) => `(${Math.max(1, Math.round(height / 2))},${Math.max(1, Math.round(width / 2))})`,
  pad_width: () => "16",
  crop_width: () => "16",
  a: ({ high }) => String(high),
  b: ({ low }) => String(low),
  scale: () => "0.5",
  angle: () => "30",
  matrix: () => "[[1,0.2,0],[0,1,0],[0,0,1]]",
  table: () => `[${Array.from({ length: 256 }, (_, level) => (level >> 6) * 85).join(",")}]`,
};

const NO_PICTURE = { width: 512, height: 512, low: 0, high: 255 };

const allowed = (schema) => schema.anyOf ?? [schema];
const isNullable = (schema) => allowed(schema).some((each) => each.type === "null");
const hasType = (schema, ...types) => allowed(schema).some((each) => types.includes(each.type));

/** The defaults of a filter's parameters as texts. */
function defaultsOf(filter) {
  const known = Object.entries(filter?.parameters.properties ?? {}).filter(([, schema]) => "default" in schema);
  return Object.fromEntries(known.map(([key, schema]) => [key, textOf(schema.default)]));
}

export class Steps {
  /** `changed()` is called after each change of the chain; `picture()` gives the picture before. */
  constructor({ changed, picture }) {
    this.changed = changed;
    this.picture = () => picture() ?? NO_PICTURE;
    this.filters = new Map();
    this.list = [];
    byId("add").addEventListener("click", () => this.add(byId("choice").value));
    byId("choice").addEventListener("change", () => this.describe());
  }

  /** What can be added, from /v1/filters. */
  offer(filters) {
    this.filters = new Map(filters.map((filter) => [filter.name, filter]));
    const families = new Map();
    for (const filter of filters.filter((each) => each.usable)) {
      if (!families.has(filter.family)) families.set(filter.family, element("optgroup", { label: filter.family }));
      families.get(filter.family).append(element("option", { value: filter.name }, filter.name));
    }
    byId("choice").replaceChildren(...families.values());
    if (this.filters.has("gaussian")) byId("choice").value = "gaussian";
    this.describe();
  }

  describe() {
    byId("summary").textContent = this.filters.get(byId("choice").value)?.summary ?? "";
  }

  /** Replace the chain. */
  set(steps) {
    this.list = steps.map((step) => ({ ...step }));
    this.render();
  }

  add(name) {
    const filter = this.filters.get(name);
    if (!filter) return;
    const step = { name, params: {}, isOn: true };
    for (const key of filter.parameters.required) {
      step.params[key] = FIRST[key]?.(this.picture()) ?? String(filter.parameters.properties[key]["x-slider"]?.minimum ?? 0);
    }
    this.list.push(step);
    this.render();
    step.node.scrollIntoView({ block: "nearest" });
    this.changed();
  }

  remove(step) {
    const at = this.list.indexOf(step);
    this.list.splice(at, 1);
    this.render();
    (this.list[Math.min(at, this.list.length - 1)]?.removeButton ?? byId("choice")).focus();
    this.changed();
  }

  move(step, by) {
    const at = this.list.indexOf(step);
    this.list.splice(at, 1);
    this.list.splice(at + by, 0, step);
    this.render();
    const [wanted, other] = by < 0 ? [step.upButton, step.downButton] : [step.downButton, step.upButton];
    (wanted.disabled ? other : wanted).focus();
    this.changed();
  }

  get running() {
    return this.list.filter((step) => step.isOn);
  }

  /** Whether a field holds what is no value. */
  get isWrong() {
    return this.running.some((step) => step.wrong?.size);
  }

  text(step) {
    return writeStep(step, defaultsOf(this.filters.get(step.name)));
  }

  // What the service said

  showTimes(times) {
    for (const step of this.list) step.took.textContent = "";
    this.running.forEach((step, at) => {
      if (times[at]) step.took.textContent = times[at];
    });
  }

  /** Whether the error concerns a step, at which it is shown then. */
  showProblem(problem) {
    const step = this.running[problem.step] ?? this.running.find((each) => each.name === problem.filter);
    if (!step) return false;
    const text = problem.message.replace(`${step.name}: `, "");
    this.tell(step, text, problem.parameter ?? text.split(" ", 1)[0]);
    return true;
  }

  clearProblems() {
    for (const step of this.list) this.tell(step, "");
  }

  tell(step, text, parameter) {
    if (step.wrong?.size) return;
    step.error.replaceChildren(...sentence(text, Object.keys(this.filters.get(step.name)?.parameters.properties ?? {})));
    step.error.hidden = !text;
    for (const [key, control] of Object.entries(step.controls)) {
      if (text && key === parameter) control.setAttribute("aria-invalid", "true");
      else control.removeAttribute("aria-invalid");
    }
  }

  // Rows

  render() {
    this.list.forEach((step, at) => this.make(step, at));
    byId("steps").replaceChildren(...this.list.map((step) => step.node));
    byId("no-steps").hidden = this.list.length > 0;
  }

  make(step, at) {
    const kept = step.error;
    const isOpen = step.more?.open;
    const button = (mark, words, settings) => element("button", { type: "button", class: "mark", "aria-label": `${words} ${step.name}`, title: words, ...settings }, mark);
    step.controls = {};
    step.wrong = new Map();
    step.took = step.took ?? element("span", { class: "took" });
    step.error = kept ?? element("p", { class: "error", id: `error-${(Steps.count = (Steps.count ?? 0) + 1)}`, hidden: true });
    step.upButton = button("↑", "Move up", { disabled: at === 0, onclick: () => this.move(step, -1) });
    step.downButton = button("↓", "Move down", { disabled: at === this.list.length - 1, onclick: () => this.move(step, 1) });
    step.removeButton = button("×", "Remove", { onclick: () => this.remove(step) });
    const toggle = element("input", { type: "checkbox", "aria-label": `Run ${step.name}`, title: "Run this step", checked: step.isOn });
    const node = element("li", { class: "step", "aria-label": step.name }, element(
      "div",
      { class: "head" },
      element("label", { class: "name" }, toggle, step.name),
      element("span", { class: "marks" }, step.upButton, step.downButton, step.removeButton),
      step.took,
    ));
    toggle.addEventListener("change", () => {
      step.isOn = toggle.checked;
      node.classList.toggle("is-off", !step.isOn);
      this.changed();
    });
    node.classList.toggle("is-off", !step.isOn);
    node.append(...this.rows(step, isOpen), step.error);
    step.node = node;
  }

  rows(step, isOpen) {
    const filter = this.filters.get(step.name);
    if (!filter) return [];
    const rows = { main: [], aside: [] };
    const isSet = (key) => key in step.params && step.params[key] !== defaultsOf(filter)[key];
    let hasSet = false;
    for (const [key, schema] of Object.entries(filter.parameters.properties)) {
      const isAside = ASIDE.includes(key);
      hasSet ||= isAside && isSet(key);
      rows[isAside ? "aside" : "main"].push(this.row(step, key, schema));
    }
    if (!rows.aside.length) return rows.main;
    step.more = element("details", { open: isOpen ?? hasSet }, element("summary", {}, "More"), ...rows.aside);
    return [...rows.main, step.more];
  }

  row(step, key, schema) {
    const value = step.params[key] ?? textOf(schema.default ?? null);
    const row = new Row(this, step, key, schema, value);
    step.controls[key] = row.control;
    row.control.setAttribute("aria-describedby", step.error.id);
    return row.node;
  }
}

/** A text with a full stop, names of parameters set as code. */
function sentence(text, names) {
  if (!text) return [];
  const parts = text.split(/(\w+)/).map((part) => (names.includes(part) ? element("code", {}, part) : part));
  return /[.!?]$/.test(text) ? parts : [...parts, "."];
}

/** A parameter: its label and its controls. `control` is the one that has the label. */
class Row {
  static count = 0;

  constructor(steps, step, key, schema, value) {
    Object.assign(this, { steps, step, key, schema });
    this.id = `control-${(Row.count += 1)}`;
    const choices = this.choices();
    if (choices) this.makeSelect(choices, value);
    else if (schema.type === "boolean") this.makeCheckbox(value);
    else this.makeField(value);
    this.node = element("div", { class: "param" }, element("label", { for: this.id }, key), ...this.parts);
    if (key === "cval") this.step.cvalRow = this.node;
    if (key === "mode" || key === "cval") this.showCval();
  }

  /** [value, words] of a select, or null. */
  choices() {
    const { schema, step, key } = this;
    const enumerated = allowed(schema).find((each) => each.enum);
    if (enumerated) return enumerated.enum.map((each) => [textOf(each), textOf(each)]);
    if (hasType(schema, "boolean") && isNullable(schema)) return [["None", "automatic"], ["True", "yes"], ["False", "no"]];
    return CHOICES[`${step.name} ${key}`] ?? CHOICES[key] ?? null;
  }

  set(value) {
    this.step.params[this.key] = value;
    if (this.step.wrong.delete(this.key)) this.steps.tell(this.step, [...this.step.wrong.values()][0] ?? "");
    this.showCval();
    this.steps.changed();
  }

  showCval() {
    const { cvalRow, params } = this.step;
    const filter = this.steps.filters.get(this.step.name);
    if (cvalRow) cvalRow.hidden = (params.mode ?? textOf(filter.parameters.properties.mode?.default ?? null)) !== "constant";
  }

  makeSelect(choices, value) {
    const hasOwn = hasType(this.schema, "array") && allowed(this.schema).some((each) => each.enum);
    const isOwn = hasOwn && !choices.some(([each]) => each === value);
    const known = hasOwn ? [...choices, [OWN, "own values"]] : choices;
    const all = !isOwn && !known.some(([each]) => each === value) ? [...known, [value, value]] : known;
    const options = all.map(([each, words]) => element("option", { value: each }, words));
    this.control = element("select", { id: this.id }, ...options);
    this.control.value = isOwn ? OWN : value;
    const field = element("input", { type: "text", "aria-label": `${this.key}: own values`, value: isOwn ? typedOf(value) : "", hidden: !isOwn, class: "wide", placeholder: "numbers, with commas" });
    this.control.addEventListener("change", () => {
      field.hidden = this.control.value !== OWN;
      if (field.hidden) this.set(this.control.value);
      else field.focus();
    });
    field.addEventListener("input", () => this.take(field));
    this.parts = hasOwn ? [this.control, field] : [this.control];
  }

  makeCheckbox(value) {
    this.control = element("input", { type: "checkbox", id: this.id, checked: value === "True" });
    this.control.addEventListener("change", () => this.set(this.control.checked ? "True" : "False"));
    this.parts = [this.control];
  }

  makeField(value) {
    const range = this.range();
    const field = element("input", {
      type: "text",
      id: range ? `${this.id}-exact` : this.id,
      class: range ? "exact" : "wide",
      inputmode: hasType(this.schema, "array") ? null : "decimal",
      placeholder: isNullable(this.schema) ? "auto" : null,
      "aria-label": range ? `${this.key}, exact value` : null,
      title: this.rule(),
      autocomplete: "off",
      spellcheck: "false",
    });
    field.value = typedOf(value);
    field.addEventListener("input", () => {
      if (this.take(field) && range) this.slide(range, this.step.params[this.key]);
    });
    this.control = range ?? field;
    this.parts = range ? [range, field] : [field];
    if (!range) return;
    this.slide(range, value);
    range.addEventListener("input", () => {
      field.value = String(Number(range.value));
      field.removeAttribute("aria-invalid");
      range.classList.remove("is-unset");
      this.set(field.value);
    });
  }

  /** Move a slider to a value, of several numbers to the first. */
  slide(range, value) {
    const number = parseFloat(value.replace(/^[([]/, ""));
    range.classList.toggle("is-unset", Number.isNaN(number));
    range.value = Number.isNaN(number) ? range.min : number;
  }

  /** A slider, where numbers have a sensible range. */
  range() {
    const { low, high } = this.steps.picture();
    const isLevel = LEVELS.includes(this.key);
    const step = high - low > 2 ? 1 : 0.01;
    const bounds = this.schema["x-slider"] ?? (isLevel ? { minimum: low, maximum: high, step } : null);
    if (!bounds) return null;
    return element("input", { type: "range", id: this.id, min: bounds.minimum, max: bounds.maximum, step: bounds.step });
  }

  /** Set what was typed, if it is a value. */
  take(field) {
    const isEmpty = field.value.trim() === "";
    const value = isEmpty && isNullable(this.schema) ? "None" : valueOf(field.value);
    if (value === null || !isValue(value)) {
      field.setAttribute("aria-invalid", "true");
      this.step.wrong.delete(this.key);
      this.steps.tell(this.step, `${this.key} must be ${this.rule()}`, this.key);
      this.step.wrong.set(this.key, `${this.key} must be ${this.rule()}`);
      this.steps.changed();
      return false;
    }
    field.removeAttribute("aria-invalid");
    this.set(value);
    return true;
  }

  rule() {
    const words = [];
    if (hasType(this.schema, "integer", "number")) words.push("a number");
    if (hasType(this.schema, "array")) words.push(words.length ? "two numbers for rows and columns" : "numbers with commas between");
    if (isNullable(this.schema)) words.push("empty");
    return words.join(" or ");
  }
}
