// Makes elements of a talk: tags, icons, blocks of text. Knows neither entries nor frames; never parses HTML.

const page = document.body.dataset;

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function svg(href) {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  icon.setAttribute("class", "icon");
  icon.setAttribute("aria-hidden", "true");
  use.setAttribute("href", href);
  icon.append(use);
  return icon;
}

export const icon = (name) => svg(`${page.icons}#${name}`);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** JSON as people read it: innermost lists and objects on one line. Newlines never stand inside JSON strings. */
function pretty(value) {
  if (typeof value === "string") return value;
  const whole = JSON.stringify(value, null, 2);
  return whole.replace(/([[{])\n\s*([^[\]{}]{1,100}?)\n\s*([\]}])/g, (_, open, inner, close) =>
    `${open}${inner.replace(/\n\s*/g, " ")}${close}`);
}

export function block(title, value) {
  const part = make("div", "step-part");
  const body = make("pre", "", pretty(value));
  body.tabIndex = 0;
  body.setAttribute("role", "group");
  body.setAttribute("aria-label", title);
  part.append(make("p", "step-label", title), body);
  return part;
}
