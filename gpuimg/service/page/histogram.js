// Histograms as SVG: the square root of the counts, so that one frequent value does not flatten all others.

import { element, svg } from "./dom.js";
import { shortNumber } from "./picture.js";

const HEIGHT = 56;

/** A figure of a picture's histogram. */
export function histogramOf(name, { counts, low, high }) {
  const most = Math.sqrt(Math.max(...counts, 1));
  const top = (count) => (HEIGHT - (HEIGHT - 1) * (Math.sqrt(count) / most)).toFixed(1);
  const steps = [...counts].map((count, at) => `V${top(count)}H${at + 1}`).join("");
  const peak = low + (counts.indexOf(Math.max(...counts)) / (counts.length - 1)) * (high - low);
  const words = `${name}: values from ${shortNumber(low)} to ${shortNumber(high)}, most near ${shortNumber(peak)}`;
  return element(
    "figure",
    { class: "histogram" },
    svg(
      "svg",
      { viewBox: `0 0 ${counts.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
      svg("path", { d: `M0 ${HEIGHT}${steps}V${HEIGHT}Z` }),
    ),
    element(
      "figcaption",
      {},
      element("span", {}, shortNumber(low)),
      element("span", {}, name),
      element("span", {}, shortNumber(high)),
    ),
  );
}
