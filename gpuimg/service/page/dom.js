// Making and finding elements. Text only ever becomes text.

export const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children: elements or texts. */
export function element(tag, settings = {}, ...children) {
  return fill(document.createElement(tag), settings, children);
}

export function svg(tag, settings = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), settings, children);
}

function fill(made, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function debounced(call, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(call, milliseconds, ...values);
  };
}
