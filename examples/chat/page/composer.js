// The message box: text, pictures to edit, and pictures to upload by button, drop or paste.

import { button, byId, el, icon } from "./dom.js";
import { naming } from "./transcript.js";

const MOST_BYTES = 20 * 1024 * 1024;

/** Calls `send` with the content blocks of a message. */
export class Composer {
  #edits = [];
  #uploads = [];
  #text = byId("message");

  constructor({ send, stop, complain }) {
    this.complain = complain;
    byId("attach").append(icon("attach"));
    byId("send").append(icon("send"));
    byId("stop").append(icon("stop"));
    byId("stop").addEventListener("click", stop);
    byId("attach").addEventListener("click", () => byId("files").click());
    byId("files").addEventListener("change", (event) => {
      this.#add(event.target.files);
      event.target.value = "";
    });
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#ready()) send(this.#take());
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      byId("composer").requestSubmit();
    });
    this.#text.addEventListener("input", () => this.#fit());
    this.#text.addEventListener("paste", (event) => this.#add(event.clipboardData.files));
    this.#acceptDrops();
    this.#fit();
  }

  /** Name a picture to edit in the next message. */
  edit(picture) {
    if (!this.#edits.some((each) => each.handle === picture.handle)) this.#edits.push(picture);
    this.#show();
    this.#text.focus();
  }

  /** Put a text into the box. */
  suggest(text) {
    this.#text.value = text;
    this.#fit();
    this.#text.focus();
  }

  /** Tell whether a run is under way. */
  set running(value) {
    this.busy = value;
    byId("stop").hidden = !value;
    byId("send").hidden = value;
  }

  focus() {
    this.#text.focus();
  }

  #ready() {
    return !this.busy && (this.#text.value.trim() || this.#uploads.length);
  }

  #take() {
    const text = naming(this.#edits.map((each) => each.handle)) + this.#text.value.trim();
    const blocks = this.#uploads.map(({ base64, type }) => ({ type: "image", base64, mime_type: type }));
    this.#edits = [];
    this.#uploads = [];
    this.#text.value = "";
    this.#show();
    this.#fit();
    return [...(text ? [{ type: "text", text }] : []), ...blocks];
  }

  async #add(files) {
    for (const file of files) {
      if (!file.type.startsWith("image/")) this.complain(`${file.name} is not a picture.`);
      else if (file.size > MOST_BYTES) this.complain(`${file.name} is larger than 20 MB.`);
      else this.#uploads.push({ name: file.name, type: file.type, base64: await base64Of(file) });
    }
    this.#show();
    if (files.length) this.#text.focus();
  }

  #show() {
    const chip = (label, url, remove) => el("span", { class: "chip" }, url && el("img", { src: url, alt: "" }), el("span", {}, label),
      button("", { class: "icon small", "aria-label": `Remove ${label}`, onclick: remove }, "close"));
    const drop = (list, item) => () => {
      list.splice(list.indexOf(item), 1);
      this.#show();
      this.#text.focus();
    };
    byId("chips").replaceChildren(
      ...this.#edits.map((each) => chip(`Editing ${each.handle}`, each.thumbnail ?? each.url, drop(this.#edits, each))),
      ...this.#uploads.map((each) => chip(each.name, `data:${each.type};base64,${each.base64}`, drop(this.#uploads, each))),
    );
    this.#text.placeholder = this.#edits.length || this.#uploads.length ? "What should change?" : "Describe a picture…";
  }

  #fit() {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
  }

  #acceptDrops() {
    const overlay = byId("drop");
    const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      overlay.hidden = false;
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) overlay.hidden = true;
    });
    addEventListener("drop", (event) => {
      overlay.hidden = true;
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.#add(event.dataTransfer.files);
    });
  }
}

/** Return the bytes of a file as base64. */
function base64Of(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
