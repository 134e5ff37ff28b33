// What is shown of a thread: one entry for each message of the user, text of the model and drawing.

import { alternatives } from "./branches.js";
import { button, el, reconcile } from "./dom.js";
import { markdown } from "./markdown.js";
import { PictureCard } from "./pictures.js";
import { requestsByCall } from "./questions.js";
import { textOf } from "./thread.js";

const TOOL = "generate_image";
const EDITS = /^Edit ((?:img_[0-9a-f]{8,64}(?:, | and )?)+): /;
const TYPES = /^image\/(png|jpeg|webp|gif)$/;

/** Return the beginning of a message that names the pictures to edit; `split` takes it off again. */
export const naming = (handles) => (handles.length ? `Edit ${handles.join(" and ")}: ` : "");

function split(text) {
  const found = text.match(EDITS);
  return found ? [found[1].split(/, | and /).filter(Boolean), text.slice(found[0].length)] : [[], text];
}

/** Show a thread in `parent`. `actions` is what a person can do with what they see. */
export function render(parent, thread, actions) {
  reconcile(parent, entries(thread, actions));
}

function entries(thread, actions) {
  const { messages } = thread;
  const answers = new Map(messages.filter((each) => each.type === "tool").map((each) => [each.tool_call_id, each]));
  const calls = messages.filter((each) => each.type === "ai").at(-1)?.tool_calls ?? [];
  const asked = requestsByCall(thread.questions, calls);
  const found = [];
  for (const message of messages) {
    if (message.type === "human") found.push(said(thread, message, actions));
    if (message.type !== "ai") continue;
    const text = textOf(message);
    if (text.trim()) found.push(written(thread, message, text, actions));
    for (const call of message.tool_calls ?? []) {
      if (call.name === TOOL) found.push(drawn(thread, call, answers.get(call.id), asked.get(call.id), actions));
    }
  }
  return found;
}

// Messages of the user

function said(thread, message, actions) {
  const [handles, text] = split(textOf(message));
  const data = {
    text,
    sources: handles.map((handle) => ({ handle, ...pictureOf(thread, (each) => each.handle === handle) })),
    uploads: uploads(thread, message),
    others: thread.running ? [] : alternatives(thread.history, thread.head, message.id),
    id: message.id,
    ready: !thread.running,
  };
  return { key: message.id, data, make: () => userView(message, handles, actions) };
}

const pictureOf = (thread, test) => {
  const found = thread.pictures.find(test);
  return found && { handle: found.handle, url: found.thumbnail };
};

function uploads(thread, message) {
  const blocks = Array.isArray(message.content) ? message.content : [];
  return blocks.flatMap((block) => {
    if (block.type === "image" && TYPES.test(block.mime_type)) return [{ url: `data:${block.mime_type};base64,${block.base64}` }];
    const digest = block.value?.record?.sha256;
    return digest ? [{ ...pictureOf(thread, (each) => each.sha256 === digest) }] : [];
  });
}

function userView(message, handles, actions) {
  const node = el("article", { class: "said", "aria-label": "You" });
  const update = (data) => {
    const change = button("", {
      class: "icon small", "aria-label": "Edit this message", title: "Edit this message",
      onclick: () => rewrite(node, data, (text) => actions.rewrite(message, naming(handles) + text), () => update(data)),
    }, "edit");
    node.replaceChildren(
      el("div", { class: "bubble" },
        thumbnails(data),
        el("p", {}, data.text),
      ),
      ...(data.ready ? [el("div", { class: "tools" }, turns(data, actions), change)] : []),
    );
  };
  return { node, update };
}

function thumbnails({ sources, uploads: files }) {
  const shown = [...sources, ...files];
  if (!shown.length) return null;
  return el("div", { class: "thumbs" }, shown.map(({ url, handle }) =>
    el("figure", {}, url && el("img", { src: url, alt: handle ? `Picture ${handle}` : "Uploaded picture" }), handle && el("figcaption", {}, handle))));
}

/** Show an editor in place of a message. */
function rewrite(node, data, save, cancel) {
  const box = el("textarea", { "aria-label": "Message", rows: 3, value: data.text });
  const submit = (event) => {
    event.preventDefault();
    if (box.value.trim()) save(box.value.trim());
  };
  node.replaceChildren(el("form", {
    class: "bubble rewrite", "aria-label": "Edit the message", onsubmit: submit,
    onkeydown: (event) => event.key === "Escape" && cancel(),
  }, box, el("div", { class: "actions" },
    el("button", { type: "submit", class: "primary" }, "Send as a branch"), button("Cancel", { onclick: cancel }))));
  box.focus();
}

/** Return the switch between a message and what was said in its place. */
function turns({ id, others }, actions) {
  if (others.length < 2) return null;
  const place = others.findIndex((each) => each.id === id);
  const turn = (step, label, name) => button("", {
    class: "icon small", "aria-label": label, title: label, disabled: !others[place + step],
    onclick: () => actions.show(others[place + step].checkpoint),
  }, name);
  return el("span", { class: "turns", role: "group", "aria-label": "Branches" },
    turn(-1, "Previous branch", "left"), el("span", {}, `${place + 1} / ${others.length}`), turn(1, "Next branch", "right"));
}

// Text of the model

function written(thread, message, text, actions) {
  const end = thread.running ? undefined : thread.endOf(message.id);
  const data = { text, end: end === thread.head ? null : end };
  const make = () => {
    const node = el("article", { class: "written", "aria-label": "Artist" });
    const update = (now) => node.replaceChildren(
      el("div", { class: "text" }, markdown(now.text)),
      ...(now.end ? [el("div", { class: "tools" }, button("Continue from here", { class: "link", onclick: () => actions.show(now.end) }, "branch"))] : []),
    );
    return { node, update };
  };
  return { key: `${message.id}:text`, data, make };
}

// Drawings

function drawn(thread, call, answer, ask, actions) {
  const events = thread.drawings.get(call.id) ?? [];
  const data = {
    call, ask, events,
    state: stateOf(thread, answer, ask, events),
    pictures: picturesOf(thread, answer, events),
    sources: sourcesOf(thread, call.args.images ?? []),
    failure: answer && answer.status === "error" ? reasonOf(answer) : "",
    all: thread.pictures,
  };
  return { key: call.id, data, make: () => new PictureCard(actions) };
}

function stateOf(thread, answer, ask, events) {
  if (answer) return answer.artifact?.images?.length ? "drawn" : "failed";
  if (ask) return "asked";
  if (!thread.running) return "stopped";
  return events.length ? "drawing" : "waiting";
}

/** Return why there is no picture; LangChain puts its own words before the reason of a person who rejected it. */
const reasonOf = (answer) => textOf(answer).replace(/^User rejected the tool call for .*? with reason: /s, "You said: ");

/** Return the pictures of an answer, each with what the server tells of it or else what its event told. */
function picturesOf(thread, answer, events) {
  return (answer?.artifact?.images ?? []).map((image) => {
    const told = thread.pictures.find((each) => each.id === image.id);
    const event = events.find((each) => each.sha256 === image.sha256);
    return { ...image, url: event?.url, ...told };
  });
}

function sourcesOf(thread, names) {
  return names.map((name) => {
    const found = name === "last" ? thread.pictures.at(-1) : thread.pictures.find((each) => each.handle === name);
    return { handle: found?.handle ?? String(name), url: found?.thumbnail };
  });
}

