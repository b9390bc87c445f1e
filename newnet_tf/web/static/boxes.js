// Boxes with labels over the image: an SVG in the image's pixels, which lies over it as it is shown.

const SVG = "http://www.w3.org/2000/svg";
const HUES = 137.5; // degrees between the colors of two classes: neighbors differ well

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/**
 * Draws detections.
 *
 * svg: the element over the image. detections: [{ label, score, box }], boxes [x1, y1, x2, y2] in pixels.
 * labels: names of the classes. width, height: of the image.
 */
export function drawBoxes(svg, detections, labels, width, height) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const letters = Math.max(width, height) / 36;
  const parts = [];
  for (const { label, score, box } of [...detections].reverse()) { // the best on top
    const [x1, y1, x2, y2] = box;
    const color = `hsl(${(label * HUES) % 360} 85% 45%)`;
    const place = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    parts.push(element("rect", { class: "box", stroke: color, ...place }));
    const text = `${labels[label]} ${Math.round(100 * score)} %`;
    const top = y1 > 1.3 * letters ? y1 - 1.3 * letters : y1;
    const back = { x: x1, y: top, width: (0.62 * text.length + 0.6) * letters, height: 1.3 * letters };
    parts.push(element("rect", { class: "tag", fill: color, ...back }));
    const baseline = { x: x1 + 0.3 * letters, y: top + letters, "font-size": letters };
    parts.push(element("text", baseline, text));
  }
  svg.replaceChildren(...parts);
}
