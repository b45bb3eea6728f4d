/** Elements of the page, made without any markup as text: what people or files say can never become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 * attrs: names and values as in markup; `onclick: fn` and the like listen; true is an attribute without a value; false,
 * null and undefined leave it out; `vars: {"--x": "3px"}` sets custom properties; `data: {id: 3}` sets data-id.
 * children: nodes, text, numbers or lists of them; null, undefined and false are left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [attrs]
 * @param {...unknown} children
 * @returns {HTMLElement}
 */
export function h(tag, attrs = {}, ...children) {
  return filled(document.createElement(tag), attrs, children);
}

/** The same for SVG. @returns {SVGElement} */
export function svg(tag, attrs = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attrs, children);
}

/** Put new children in the place of all that an element has. */
export function fill(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/** The element of index.html with this id. @returns {HTMLElement} */
export function region(id) {
  return document.getElementById(id);
}

function filled(node, attrs, children) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, String(one));
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...flat(children));
  return node;
}

function flat(children) {
  return children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false);
}
