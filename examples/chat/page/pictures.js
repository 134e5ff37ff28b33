// A drawing in the conversation: it waits, asks, is drawn from partial to final, or fails. And its versions.

import { Approval } from "./approval.js";
import { button, byId, el, icon } from "./dom.js";

/** Return an amount of dollars for people. */
export function money(dollars) {
  const amount = Number(dollars);
  if (dollars === null || dollars === undefined || Number.isNaN(amount)) return "";
  return amount > 0 && amount < 0.01 ? `$${amount.toFixed(4)}` : `$${amount.toFixed(2)}`;
}

/** The view of one call of the drawing tool. */
export class PictureCard {
  node = el("article", { class: "picture" });
  #frame = el("div", { class: "frame" });
  #note = el("p", { class: "note" });
  #approval = null;
  #shown = new Set();

  constructor(actions) {
    this.actions = actions;
  }

  /** Show the drawing as it is now. */
  update(data) {
    this.node.dataset.state = data.state;
    this.node.setAttribute("aria-label", `Drawing: ${data.call.args.prompt ?? ""}`);
    if (data.state === "asked") return this.#ask(data);
    this.#approval = null;
    if (data.state === "drawn") return this.#finish(data);
    if (data.state === "failed") return this.#fail(data);
    return this.#progress(data);
  }

  #ask(data) {
    this.#approval ??= new Approval(data, this.actions);
    this.#approval.update(data);
    this.node.replaceChildren(this.#approval.node);
  }

  #progress(data) {
    const partials = data.events.filter((event) => event.type === "image.partial" || event.type === "image.finished");
    const size = data.call.args.size?.match(/^(\d+)x(\d+)$/);
    this.#frame.style.aspectRatio = size ? `${size[1]} / ${size[2]}` : "1";
    for (const event of partials) this.#layer(event.sha256, addressOf(event));
    const last = partials.at(-1);
    const done = last?.type === "image.finished";
    this.#note.textContent = {
      stopped: "Not drawn: the run ended before.",
      waiting: "Waiting for the artist…",
      drawing: done ? "Finishing…" : last ? `Sketch ${Number(last.index) + 1}` : "Drawing…",
    }[data.state];
    this.node.dataset.partials = partials.filter((event) => event.type === "image.partial").length;
    this.node.replaceChildren(this.#frame, this.#note);
  }

  /** Put a picture over those in the frame, which go once it is loaded. Its address may differ each time it is told. */
  #layer(digest, url) {
    const key = digest ?? url;
    if (!url || this.#shown.has(key)) return;
    this.#shown.add(key);
    const layer = el("img", { src: url, alt: "Unfinished picture", class: "layer" });
    layer.addEventListener("load", () => {
      layer.classList.add("ready");
      setTimeout(() => {
        while (layer.previousElementSibling) layer.previousElementSibling.remove();
      }, 700);
    }, { once: true });
    this.#frame.append(layer);
  }

  #finish(data) {
    const [first, ...others] = data.pictures;
    this.#frame.style.aspectRatio = first.width ? `${first.width} / ${first.height}` : "";
    this.#layer(first.sha256, first.url);
    this.#frame.lastElementChild?.setAttribute("alt", first.revised_prompt ?? first.prompt ?? first.handle);
    const open = el("button", {
      type: "button", class: "open", "aria-label": `Show ${first.handle} and its versions`,
      onclick: () => showVersions(first, data.all, this.actions),
    }, this.#frame);
    this.node.replaceChildren(open, ...others.map((picture) => el("img", { class: "other", src: picture.url ?? "", alt: picture.prompt ?? "" })),
      ...data.pictures.map((picture) => this.#caption(picture, data)), versionStrip(first, data.all, this.actions) ?? "");
  }

  #caption(picture, data) {
    const facts = [picture.width && `${picture.width} × ${picture.height}`, picture.quality, money(picture.price), picture.handle];
    const revised = picture.revised_prompt && picture.revised_prompt !== picture.prompt;
    return el("div", { class: "caption" },
      el("p", { class: "prompt" }, picture.prompt ?? ""),
      revised && el("details", {}, el("summary", {}, "As the model rewrote it"), el("p", {}, picture.revised_prompt)),
      el("p", { class: "facts" }, facts.filter(Boolean).map((fact) => el("span", {}, String(fact)))),
      el("div", { class: "actions" }, actionsOf(picture, data.all, this.actions)));
  }

  #fail(data) {
    this.node.replaceChildren(el("p", { class: "note" }, el("strong", {}, "Not drawn. "), data.failure || "The tool gave no picture."));
  }
}

const addressOf = (event) => event.url ?? (event.data && /^image\/[a-z+]+$/.test(event.mime_type) ? `data:${event.mime_type};base64,${event.data}` : "");

function actionsOf(picture, all, actions) {
  const family = familyOf(picture, all);
  return [
    button("Edit this one", { class: "primary", "aria-label": `Edit ${picture.handle}`, onclick: () => actions.edit(picture) }, "edit"),
    family.length > 1 && button(`Versions (${family.length})`, { onclick: () => showVersions(picture, all, actions) }, "versions"),
    picture.url && el("a", { class: "button", href: picture.url, download: `${picture.handle}.${extension(picture)}`, "aria-label": `Download ${picture.handle}` },
      icon("download"), el("span", {}, "Download")),
  ];
}

const extension = (picture) => (picture.mime_type ?? "image/png").split("/")[1].replace("svg+xml", "svg");

/** Return the pictures that were made from one another, this one among them, the oldest first. */
export function familyOf(picture, all) {
  const family = new Set([picture.id]);
  for (let before = 0; before !== family.size; ) {
    before = family.size;
    for (const each of all) {
      const parents = each.parents ?? [];
      if (family.has(each.id)) parents.forEach((parent) => family.add(parent));
      else if (parents.some((parent) => family.has(parent))) family.add(each.id);
    }
  }
  return all.filter((each) => family.has(each.id));
}

/** Return the versions of a picture as small pictures in a row; null if there is one only. */
function versionStrip(picture, all, actions) {
  const family = familyOf(picture, all);
  if (family.length < 2) return null;
  return el("ol", { class: "strip", "aria-label": "Versions" }, family.map((each) =>
    el("li", {}, el("button", {
      type: "button", "aria-label": `Show ${each.handle}`, "aria-current": each.id === picture.id ? "true" : null,
      title: each.prompt ?? "Uploaded", onclick: () => showVersions(each, all, actions),
    }, el("img", { src: each.thumbnail ?? each.url, alt: "", loading: "lazy" })))));
}

/** Show all versions of a picture side by side in a dialog. */
export function showVersions(picture, all, actions) {
  const family = familyOf(picture, all);
  const dialog = byId("viewer");
  const close = () => dialog.close();
  const edit = { ...actions, edit: (each) => (close(), actions.edit(each)) };
  const shown = family.length ? family : [picture];
  dialog.replaceChildren(
    el("header", {}, el("h2", {}, shown.length > 1 ? `${shown.length} versions` : "Picture"),
      button("", { class: "icon", "aria-label": "Close", onclick: close }, "close")),
    el("ol", { class: "versions", tabindex: "0", "aria-label": "Versions, the oldest first" }, shown.map((each) =>
      el("li", { "aria-current": each.id === picture.id ? "true" : null },
        el("figure", {},
          el("img", { src: each.url ?? "", alt: each.revised_prompt ?? each.prompt ?? `Uploaded picture ${each.handle}` }),
          el("figcaption", {},
            el("p", { class: "prompt" }, each.prompt ?? "Uploaded"),
            each.revised_prompt && each.revised_prompt !== each.prompt && el("p", { class: "revised" }, each.revised_prompt),
            el("p", { class: "facts" }, [each.width && `${each.width} × ${each.height}`, money(each.price), each.handle].filter(Boolean).map((fact) => el("span", {}, fact))),
            el("div", { class: "actions" }, actionsOf(each, [], edit))))))),
  );
  dialog.showModal();
  dialog.querySelector("li[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
}
