// A thread of the conversation: what the server knows of it, and what arrives while a run works on it.

import * as api from "./api.js";
import { beginning, endOf, idOf } from "./branches.js";
import { answerTo, questionsOf } from "./questions.js";

/** Dispatches "change" whenever something that is shown may have changed. */
export class Thread extends EventTarget {
  /** The id of the thread, or null until the first message is sent. */
  id = null;
  /** The states of the thread, the newest first. */
  history = [];
  /** The checkpoint that is shown, or null for the newest one. */
  at = null;
  /** What the server tells of pictures by digest, and the price of the thread. */
  pictures = [];
  cost = null;
  /** The events of each drawing by the id of its tool call. */
  drawings = new Map();
  problem = "";
  running = false;

  #values = { messages: [] };
  #live = new Map();
  #run = null;
  #abort = null;

  /** The messages to show, the one that is being written last. */
  get messages() {
    const known = new Set(this.#values.messages.map((message) => message.id));
    return [...this.#values.messages, ...[...this.#live.values()].filter((message) => !known.has(message.id))];
  }

  /** The id of the checkpoint that is shown. */
  get head() {
    return this.at ?? idOf(this.history[0] ?? {});
  }

  get #state() {
    return this.history.find((state) => idOf(state) === this.head);
  }

  /** What the agent asks before it goes on. */
  get questions() {
    return this.running ? [] : questionsOf(this.#state);
  }

  /** Whether a run ended before it was done. */
  get unfinished() {
    return !this.running && Boolean(this.#state?.next?.length) && !this.questions.length;
  }

  /** Show a thread, and follow the run that works on it. */
  async open(id, at) {
    this.id = id;
    await this.#load(at);
    const run = this.running ? null : await api.running(id);
    if (run) await this.#follow((signal) => api.join(id, run, signal));
  }

  /** Show another checkpoint; null shows the newest one. */
  async show(at) {
    await this.#load(at);
  }

  /** Say something; `base` is the checkpoint to say it at, by default the one that is shown. */
  async send(content, base) {
    if (!this.id) {
      this.id = await api.create();
      this.#changed();
    }
    const message = { type: "human", id: crypto.randomUUID(), content };
    const start = base ?? this.at;
    if (base) this.#values = { messages: this.#before(base) };
    this.#live = new Map([[message.id, message]]);
    await this.#start({
      input: { messages: [message] },
      ...(start ? { checkpoint_id: start } : {}),
      // An upload is in the input. LangGraph saves the input at each step, unless it saves a run at its end alone.
      ...(content.some((block) => block.type === "image") ? { durability: "exit" } : {}),
    });
  }

  /** Answer the agent's questions: a list of decisions for each. */
  async answer(decisions) {
    const resume = Object.fromEntries(this.questions.map((question, n) => [question.id, answerTo(question, decisions[n])]));
    await this.#start({ command: { resume }, ...(this.at ? { checkpoint_id: this.at } : {}) });
  }

  /** Go on where a run was stopped or failed. */
  async continue() {
    await this.#start({ input: null, ...(this.at ? { checkpoint_id: this.at } : {}) });
  }

  /** Stop the run. What was drawn by then is kept. */
  async stop() {
    if (this.#run) await api.cancel(this.id, this.#run);
  }

  /** Leave the thread; a run on it goes on. */
  leave() {
    this.#abort?.abort();
  }

  /** Return the checkpoint at which a message of the user can be said differently. */
  beginning(message) {
    return beginning(this.history, this.head, message);
  }

  /** Return the checkpoint that ends with this message. */
  endOf(message) {
    return endOf(this.history, this.head, message);
  }

  #before(checkpoint) {
    return this.history.find((state) => idOf(state) === checkpoint)?.values?.messages ?? [];
  }

  #start(settings) {
    return this.#follow((signal) => api.start(this.id, settings, signal));
  }

  async #follow(open) {
    this.running = true;
    this.problem = "";
    this.#abort = new AbortController();
    this.#changed();
    try {
      for await (const { event, data } of open(this.#abort.signal)) this.#take(event, data);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.problem = error.message;
    }
    this.#run = null;
    this.#abort = null;
    await this.#load(null).catch((error) => {
      this.problem ||= error.message;
    });
    this.running = false;
    this.#changed();
  }

  #take(event, data) {
    if (event === "metadata") this.#run = data.run_id;
    else if (event === "values") this.#replace(data);
    else if (event === "messages") this.#write(data[0]);
    else if (event === "custom" && String(data?.type).startsWith("image.")) this.#draw(data);
    else if (event === "error") this.problem = String(data.message ?? data.error ?? "The run failed.");
    this.#changed();
  }

  #replace(values) {
    if (!values.messages) return;
    this.#values = values;
    const known = new Set(values.messages.map((message) => message.id));
    this.#live = new Map([...this.#live].filter(([, message]) => message.type === "human" && !known.has(message.id)));
  }

  /** Add a piece of the text that the model is writing. */
  #write(chunk) {
    if (!chunk || !String(chunk.type).startsWith("AI")) return;
    const before = this.#live.get(chunk.id);
    const text = (before?.content[0].text ?? "") + textOf(chunk);
    if (text) this.#live.set(chunk.id, { type: "ai", id: chunk.id, content: [{ type: "text", text }] });
  }

  #draw(event) {
    const call = event.tool_call_id ?? event.handle ?? "";
    const before = this.drawings.get(call) ?? [];
    const same = (other) => other.type === event.type && other.index === event.index && other.handle === event.handle;
    this.drawings.set(call, [...before.filter((other) => !same(other)), event]);
  }

  async #load(at) {
    if (!this.id) return;
    const telling = api.pictures(this.id, at).catch((error) => {
      this.problem ||= error.message;
      return { pictures: this.pictures, cost: this.cost };
    });
    const [history, told] = await Promise.all([api.history(this.id), telling]);
    this.history = history;
    this.at = at && at !== idOf(history[0] ?? {}) && history.some((state) => idOf(state) === at) ? at : null;
    this.pictures = told.pictures;
    this.cost = told.cost;
    this.#values = this.#state?.values?.messages ? this.#state.values : { messages: [] };
    this.#live = new Map();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Return the text of a message. */
export function textOf(message) {
  const blocks = typeof message.content === "string" ? [{ type: "text", text: message.content }] : (message.content ?? []);
  return blocks.map((block) => (block.type === "text" || block.type === "output_text" ? block.text : "")).join("");
}
