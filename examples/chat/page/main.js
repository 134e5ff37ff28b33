// Puts the page together: the thread in the address, the conversation, the message box and the price.

import * as api from "./api.js";
import { Composer } from "./composer.js";
import { button, byId, el } from "./dom.js";
import { money } from "./pictures.js";
import { requestsOf } from "./questions.js";
import { Thread } from "./thread.js";
import { render } from "./transcript.js";

const IDEAS = [
  "Draw a lighthouse on a cliff at dusk",
  "Paint a fox in a birch forest in winter",
  "Draw a quiet harbour at sunrise, in high quality",
];

let thread = new Thread();
let decisions = new Map();
let waiting = false;

const composer = new Composer({
  send: (content) => act(() => thread.send(content)),
  stop: () => act(() => thread.stop()),
  complain: (text) => complain(text),
});

/** What a person can do with what they see in the conversation. */
const actions = {
  edit: (picture) => composer.edit(picture),
  show: (checkpoint) => act(() => thread.show(checkpoint)),
  rewrite: (message, text) => act(() => thread.send(rewritten(message, text), thread.beginning(message.id))),
  estimate: (args) => api.estimate(thread.id, args),
  decide: (ask, decision) => act(() => decide(ask, decision)),
};

/** Return the content of a message with another text and the same pictures. */
function rewritten(message, text) {
  const blocks = Array.isArray(message.content) ? message.content.filter((block) => block.type !== "text") : [];
  return [{ type: "text", text }, ...blocks];
}

/** Keep a decision, and answer the agent once it has one for each of its requests. */
async function decide({ question, request }, decision) {
  decisions.set(`${question}/${request}`, decision);
  const all = thread.questions.map((asked, q) => requestsOf(asked).map((_, r) => decisions.get(`${q}/${r}`)));
  if (all.flat().every(Boolean)) {
    decisions = new Map();
    await thread.answer(all);
  }
}

async function act(work) {
  complain("");
  try {
    await work();
  } catch (error) {
    complain(error.message);
  }
}

function complain(text) {
  thread.problem = text;
  schedule();
}

function schedule() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    show();
  });
}

function show() {
  const bottom = document.documentElement.scrollHeight - innerHeight - scrollY < 160;
  render(byId("transcript"), thread, actions);
  const empty = !thread.messages.length;
  byId("welcome").hidden = !empty;
  composer.running = thread.running;
  byId("chat").setAttribute("aria-busy", thread.running);
  byId("past").hidden = !thread.at || thread.running;
  showProblem();
  showCost();
  keepAddress();
  if (bottom) scrollTo({ top: document.documentElement.scrollHeight });
}

function showProblem() {
  const text = thread.problem || (thread.unfinished ? "The run was stopped before it was done." : "");
  const again = thread.unfinished && button("Continue", { class: "link", onclick: () => act(() => thread.continue()) });
  byId("problem").hidden = !text;
  if (byId("problem").dataset.text === `${text}${Boolean(again)}`) return;
  byId("problem").dataset.text = `${text}${Boolean(again)}`;
  byId("problem").replaceChildren(el("span", {}, text), again || "");
}

// The price

function showCost() {
  const { cost } = thread;
  byId("cost").hidden = !cost?.pictures;
  if (!cost?.pictures) return;
  const price = cost.total === null ? "price unknown" : money(cost.total);
  byId("cost").textContent = `${price} · ${cost.pictures} ${cost.pictures === 1 ? "picture" : "pictures"}`;
  byId("cost").setAttribute("aria-label", `Cost of this chat: ${byId("cost").textContent}`);
}

function showBill() {
  const { cost } = thread;
  const close = () => byId("bill").close();
  byId("bill").replaceChildren(
    el("header", {}, el("h2", {}, "Cost of this chat"), button("", { class: "icon", "aria-label": "Close", onclick: close }, "close")),
    el("table", {},
      el("tbody", {}, cost.parts.map(({ name, dollars }) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, `$${Number(dollars).toFixed(4)}`)))),
      el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, "Together"), el("td", {}, cost.total === null ? "unknown" : `$${Number(cost.total).toFixed(4)}`)))),
    el("p", { class: "note" }, cost.note),
  );
  byId("bill").showModal();
}

// The address

function keepAddress() {
  const wanted = new URLSearchParams();
  if (thread.id) wanted.set("thread", thread.id);
  if (thread.at) wanted.set("at", thread.at);
  const query = wanted.size ? `?${wanted}` : "/";
  const shown = location.search || "/";
  if (query === shown) return;
  const isNew = new URLSearchParams(location.search).get("thread") !== thread.id;
  history[isNew ? "pushState" : "replaceState"]({}, "", query);
}

async function open() {
  const address = new URLSearchParams(location.search);
  thread.leave();
  thread = new Thread();
  decisions = new Map();
  thread.addEventListener("change", schedule);
  byId("transcript").replaceChildren();
  byId("transcript").views = new Map();
  const id = address.get("thread");
  if (id) await act(() => thread.open(id, address.get("at")));
  schedule();
}

function startOver() {
  history.pushState({}, "", "/");
  open();
  composer.focus();
}

byId("new").addEventListener("click", startOver);
byId("latest").addEventListener("click", () => act(() => thread.show(null)));
byId("cost").addEventListener("click", showBill);
byId("ideas").replaceChildren(...IDEAS.map((idea) => el("li", {}, button(idea, { onclick: () => composer.suggest(idea) }))));
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
addEventListener("popstate", open);
api.about().then(({ simulated }) => {
  byId("simulated").hidden = !simulated;
}, () => {});
open();
