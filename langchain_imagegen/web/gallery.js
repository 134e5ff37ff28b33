"use strict";
const { title, images } = JSON.parse(document.getElementById("data").textContent);
for (const image of images) {
  const texts = [image.handle, image.prompt, image.revised_prompt, ...Object.values(image.facts)];
  image.words = texts.join(" ").toLowerCase();
}
const byHandle = new Map(images.map((image) => [image.handle, image]));
const children = new Map(images.map((image) => [image.handle, []]));
for (const image of images) for (const parent of image.parents) children.get(parent)?.push(image);

const $ = (id) => document.getElementById(id);
const cards = $("cards"), search = $("search"), dialog = $("open");
let view = "grid", shown = [], current = null;

/* Texts are set as text, never as HTML. */
function make(tag, fields = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name.startsWith("aria-") || name === "download") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...inside.filter((each) => each !== null && each !== undefined));
  return element;
}

function picture(image, source = image.preview) {
  if (!source) return make("span", { className: "none" }, image.missing || "no preview");
  return make("img", { src: source, alt: image.prompt || image.handle, loading: "lazy", decoding: "async" });
}

function facts(image) {
  return [image.quality, image.dollars, image.seconds].filter(Boolean).join(" · ");
}

function card(image, depth) {
  const words = make("span", { className: "words" },
    make("b", {}, image.prompt || image.handle),
    make("small", {}, [image.handle, facts(image)].filter(Boolean).join(" · ")));
  const button = make("button", { className: "card", type: "button", onclick: () => open(image) }, picture(image), words);
  const item = make("li", {}, button);
  item.style.setProperty("--depth", Math.min(depth, 12));
  return item;
}

function matches(image) {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => image.words.includes(word));
}

/* Each picture below the first of its parents that is on the page. */
function* family(roots, depth, seen) {
  for (const image of roots) {
    if (seen.has(image.handle)) continue;
    seen.add(image.handle);
    yield [image, depth];
    yield* family(children.get(image.handle), depth + 1, seen);
  }
}

function show() {
  const found = images.filter(matches);
  const names = new Set(found.map((image) => image.handle));
  const roots = images.filter((image) => !image.parents.some((parent) => byHandle.has(parent)));
  const rows = view === "tree"
    ? [...family([...roots, ...images], 0, new Set())].filter(([image]) => names.has(image.handle))
    : found.map((image) => [image, 0]);
  shown = rows.map(([image]) => image);
  cards.className = view;
  cards.replaceChildren(...rows.map(([image, depth]) => card(image, depth)));
  $("count").textContent = found.length === images.length ? `${images.length} pictures` : `${found.length} of ${images.length} pictures`;
  $("empty").hidden = found.length > 0;
}

function stage(image) {
  const stage = make("div", { className: "stage" }, picture(image, image.original || image.preview));
  const parent = byHandle.get(image.parents[0]);
  if (!parent || !parent.preview) return stage;
  const before = picture(parent, parent.original || parent.preview);
  before.className = "before";
  const slider = make("input", {
    type: "range", min: 0, max: 100, value: 0, "aria-label": "show the picture before the edit",
    oninput: () => stage.style.setProperty("--cut", `${slider.value}%`),
  });
  stage.style.setProperty("--cut", "0%");
  stage.append(before, slider);
  return stage;
}

function relatives(label, those) {
  if (!those.length) return null;
  const buttons = those.map((image) => make("button", {
    type: "button", title: image.handle, "aria-label": `${label}: ${image.handle}`, onclick: () => open(image),
  }, picture(image)));
  return make("div", {}, make("small", {}, label), make("div", { className: "family" }, ...buttons));
}

function open(image) {
  current = image;
  const rows = Object.entries(image.facts).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]);
  const original = image.original
    ? make("a", { className: "button", href: image.original, target: "_blank", rel: "noopener", download: image.file }, "Download")
    : null;
  const sides = make("div", { className: "facts" },
    make("h2", {}, image.prompt || image.handle),
    image.revised_prompt && image.revised_prompt !== image.prompt ? make("p", {}, image.revised_prompt) : null,
    image.missing ? make("p", {}, image.missing) : null,
    make("dl", {}, ...rows),
    relatives("made from", image.parents.map((handle) => byHandle.get(handle)).filter(Boolean)),
    relatives("edited into", children.get(image.handle)),
    make("div", { className: "actions" }, original,
      make("button", { type: "button", onclick: () => step(-1), "aria-label": "previous picture" }, "←"),
      make("button", { type: "button", onclick: () => step(1), "aria-label": "next picture" }, "→"),
      make("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  dialog.replaceChildren(make("div", { className: "open" }, stage(image), sides));
  if (!dialog.open) dialog.showModal();
}

function step(by) {
  const at = shown.indexOf(current);
  if (shown.length) open(shown[(at + by + shown.length) % shown.length]);
}

function choose(name) {
  view = name;
  $("grid").setAttribute("aria-pressed", name === "grid");
  $("tree").setAttribute("aria-pressed", name === "tree");
  show();
}

document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement) return;
  if (dialog.open && event.key === "ArrowLeft") step(-1);
  else if (dialog.open && event.key === "ArrowRight") step(1);
  else if (!dialog.open && event.key === "/") { event.preventDefault(); search.focus(); }
  else if (!dialog.open && event.key === "t") choose(view === "grid" ? "tree" : "grid");
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
search.addEventListener("input", show);
$("grid").addEventListener("click", () => choose("grid"));
$("tree").addEventListener("click", () => choose("tree"));
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
document.title = title;
choose("grid");
