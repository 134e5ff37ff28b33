// The question before a drawing that costs more than the agent may spend unasked: approve, change or reject.

import { button, el } from "./dom.js";
import { money } from "./pictures.js";

const QUALITIES = ["low", "medium", "high"];
const SIZES = ["1024x1024", "1536x1024", "1024x1536"];

/** The form of one question. */
export class Approval {
  node = el("form", { class: "ask", "aria-label": "Approve the drawing" });
  #price = el("output", { class: "price" });
  #body = el("div", { class: "body" });
  #buttons = el("div", { class: "actions" });
  #data;
  #mode = "";

  constructor(data, actions) {
    this.actions = actions;
    this.#data = data;
    this.node.append(el("header", {}, el("h3", {}, "Draw this picture?"), this.#price), this.#body, this.#buttons);
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#show("approve");
  }

  /** Take the addresses of the sources, which may come later. */
  update(data) {
    this.#data = data;
    if (this.#mode === "approve") this.#show("approve");
  }

  #show(mode) {
    this.#mode = mode;
    const { args } = this.#data.call;
    const fields = mode === "change" ? this.#fields(args) : this.#facts(args);
    const reason = mode === "reject" && el("label", {}, "Reason, for the artist",
      el("input", { name: "reason", maxlength: 300, placeholder: "Optional" }));
    this.#body.replaceChildren(...fields, ...(reason ? [reason] : []));
    this.#buttons.replaceChildren(...this.#choices(mode));
    this.#estimate();
    this.#body.querySelector("textarea, input")?.focus();
  }

  #choices(mode) {
    const submit = (text) => el("button", { type: "submit", class: mode === "reject" ? "danger" : "primary" }, text);
    const back = button("Back", { onclick: () => this.#show("approve") });
    if (mode === "change") return [submit("Draw it as changed"), back];
    if (mode === "reject") return [submit("Reject"), back];
    return [submit("Approve"), button("Change…", { onclick: () => this.#show("change") }), button("Reject…", { onclick: () => this.#show("reject") })];
  }

  #facts(args) {
    const options = Object.entries(args).filter(([name, value]) => !["prompt", "images"].includes(name) && value);
    return [
      el("p", { class: "prompt" }, args.prompt ?? ""),
      this.#sources(),
      options.length > 0 && el("p", { class: "facts" }, options.map(([name, value]) => el("span", {}, `${name} ${value}`))),
    ].filter(Boolean);
  }

  #sources() {
    const { sources } = this.#data;
    if (!sources.length) return null;
    return el("div", { class: "thumbs" }, sources.map(({ handle, url }) =>
      el("figure", {}, url && el("img", { src: url, alt: `Picture ${handle}` }), el("figcaption", {}, handle))));
  }

  #fields(args) {
    const select = (name, choices) => el("label", {}, name[0].toUpperCase() + name.slice(1),
      el("select", { name, onchange: () => this.#estimate() }, [...new Set([args[name] ?? "", ...choices])].map((choice) =>
        el("option", { value: choice, selected: choice === (args[name] ?? "") }, choice || "as usual"))));
    return [
      el("label", {}, "Prompt", el("textarea", { name: "prompt", rows: 3, required: true, value: args.prompt ?? "" })),
      this.#sources(),
      el("div", { class: "options" }, select("quality", QUALITIES), select("size", SIZES)),
    ].filter(Boolean);
  }

  /** Return the arguments as the form holds them. */
  #arguments() {
    const { args } = this.#data.call;
    if (this.#mode !== "change") return args;
    const written = Object.fromEntries(new FormData(this.node));
    const chosen = Object.entries({ ...args, ...written }).filter(([, value]) => value !== "");
    return Object.fromEntries(chosen);
  }

  async #estimate() {
    const price = await this.actions.estimate(this.#arguments()).catch(() => null);
    this.#price.textContent = price?.total ? `at most ${money(price.total)}` : "price unknown";
    this.#price.title = price?.note ?? "";
  }

  #submit() {
    const { call, ask } = this.#data;
    const reason = new FormData(this.node).get("reason");
    const decisions = {
      approve: () => ({ type: "approve" }),
      change: () => ({ type: "edit", edited_action: { name: call.name, args: this.#arguments() } }),
      reject: () => ({ type: "reject", message: reason?.trim() || "The user does not want this picture." }),
    };
    this.#buttons.replaceChildren(el("p", { class: "note" }, "Answered."));
    this.actions.decide(ask, decisions[this.#mode]());
  }
}
