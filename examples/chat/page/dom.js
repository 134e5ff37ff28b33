// Makes elements. Text from models and users becomes text nodes here, never markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  attach: "M21 12.5 12.6 20.900a5.500 5.500 0 0 1-7.800-7.800L13.600 4.300a3.700 3.700 0 0 1 5.200 5.200l-8.700 8.700a1.800 1.800 0 0 1-2.600-2.600l8-8",
  send: "M12 20V4M5 11l7-7 7 7",
  stop: "M7 7h10v10H7z",
  close: "M6 6l12 12M18 6 6 18",
  edit: "M4 20h4L19 9l-4-4L4 16zM13.500 6.500l4 4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  versions: "M4 5h7v14H4zM13 5h7v14h-7z",
  branch: "M6 4v16M6 14c0-4 12-2 12-8M18 6V4M15.500 6.500 18 4l2.500 2.500",
  left: "M14.500 6 9 12l5.500 6",
  right: "M9.500 6 15 12l-5.500 6",
};

/**
 * Return a new element.
 *
 * A property that starts with "on" is a listener, "data" sets data attributes, `false` and `null` set nothing, and any
 * other becomes an attribute. Children may be nodes, strings, lists and null.
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Return a line icon that is hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: 20, height: 20, "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Return a button with an icon and, unless `label` stands alone, visible text. */
export function button(text, properties = {}, name = null) {
  return el("button", { type: "button", ...properties }, name && icon(name), text && el("span", {}, text));
}

/** Return the element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * Make the children of `parent` those of `entries`, in order, and keep the nodes of entries that were there before.
 *
 * An entry has a `key`, a function `make` that returns its view `{node, update}`, and the `data` for `update`, which is
 * called only if the data changed.
 */
export function reconcile(parent, entries) {
  const views = (parent.views ??= new Map());
  const kept = new Set(entries.map((entry) => entry.key));
  for (const [key, view] of views) {
    if (!kept.has(key)) {
      view.node.remove();
      views.delete(key);
    }
  }
  entries.forEach((entry, place) => {
    if (!views.has(entry.key)) views.set(entry.key, entry.make());
    const view = views.get(entry.key);
    const written = JSON.stringify(entry.data);
    if (view.written !== written) {
      view.written = written;
      view.update(entry.data);
    }
    if (parent.children[place] !== view.node) parent.insertBefore(view.node, parent.children[place] ?? null);
  });
}
