// LangGraph's HTTP API, as far as this page uses it, and the three routes of `server.py`.

const ASSISTANT = "artist";
const MODES = ["values", "messages-tuple", "custom"];

/** What the server answered instead of a result. */
export class ServerError extends Error {}

async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  const type = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers: { ...type, ...headers }, signal, ...sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server does not answer. Is it still running?", { cause: error });
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new ServerError(String(told.detail ?? `The server answered ${response.status}.`));
  }
  return response;
}

const json = async (path, options) => (await ask(path, options)).json();
const path = (...parts) => parts.map((part) => `/${encodeURIComponent(part)}`).join("");

/** Return whether the pictures are simulated. */
export const about = () => json("/chat/about");

/** Return the addresses and prices of a thread's pictures, and the price of the thread. */
export const pictures = (thread, checkpoint) =>
  json(`/chat${path("threads", thread)}/pictures${checkpoint ? `?checkpoint=${encodeURIComponent(checkpoint)}` : ""}`);

/** Return what a drawing with these arguments costs at most. */
export const estimate = (thread, args) => json(`/chat${path("threads", thread)}/estimate`, { method: "POST", body: args });

/** Create a thread and return its id. */
export const create = async () => (await json("/threads", { method: "POST", body: {} })).thread_id;

/** Return the states of a thread, the newest first. */
export const history = (thread) => json(`${path("threads", thread)}/history`, { method: "POST", body: { limit: 500 } });

/** Return the id of the run that works on a thread, or undefined. */
export async function running(thread) {
  const runs = await json(`${path("threads", thread, "runs")}?limit=3`);
  return runs.find((run) => run.status === "running" || run.status === "pending")?.run_id;
}

/** Start a run and yield its events. */
export async function* start(thread, settings, signal) {
  const body = { assistant_id: ASSISTANT, stream_mode: MODES, stream_resumable: true, ...settings };
  yield* events(await ask(`${path("threads", thread, "runs")}/stream`, { method: "POST", body, signal }));
}

/** Yield the events of a run that was started before, from its beginning. */
export async function* join(thread, run, signal) {
  const headers = { "Last-Event-ID": "-1" };
  yield* events(await ask(`${path("threads", thread, "runs", run)}/stream`, { headers, signal }));
}

/** End a run. */
export const cancel = (thread, run) => ask(`${path("threads", thread, "runs", run)}/cancel?wait=1`, { method: "POST", body: {} });

/** Yield the server-sent events of a response as `{event, data}`. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const pieces = (rest + value).split(/\r?\n\r?\n/);
    rest = pieces.pop();
    for (const piece of pieces) {
      const event = parse(piece);
      if (event) yield event;
    }
  }
}

function parse(text) {
  const lines = text.split(/\r?\n/);
  const read = (field) => lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trim());
  const data = read("data").join("\n");
  return data ? { event: (read("event")[0] ?? "message").split("|")[0], data: JSON.parse(data) } : null;
}
