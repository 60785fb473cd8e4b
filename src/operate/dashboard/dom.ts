/** The page's few helpers for the DOM. Text goes in as text, never as markup. */
import type { Shape } from "./chart.ts";

const SVG = "http://www.w3.org/2000/svg";

/** What the page's markup has by this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as E;
}

export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  { className = "", text = "" } = {},
  ...children: Node[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (className !== "") made.className = className;
  if (text !== "") made.textContent = text;
  made.append(...children);
  return made;
}

export function createSvg(tag: Shape["tag"] | "svg", attributes: Shape["attributes"], text?: string): SVGElement {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Leaves what is right already untouched, so that the browser has nothing to do. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(element: Element, name: string): void {
  if (element.getAttribute("class") !== name) element.setAttribute("class", name);
}
