// The states of a thread as a tree. Pure functions: they take the history as LangGraph returns it, the newest first.

const idOf = (state) => state.checkpoint?.checkpoint_id;
const parentOf = (state) => state.parent_checkpoint?.checkpoint_id ?? null;
const messagesOf = (state) => state.values?.messages ?? [];

/** Return the states from `id` back to the beginning. */
export function path(history, id) {
  const known = new Map(history.map((state) => [idOf(state), state]));
  const found = [];
  for (let state = known.get(id); state && !found.includes(state); state = known.get(parentOf(state))) found.push(state);
  return found;
}

/**
 * Return the checkpoint that a state's input was given to: null at the beginning of a thread.
 *
 * LangGraph saves the input itself as a checkpoint first. That one is passed over if another one stands before it.
 */
function baseOf(history, state) {
  const parent = history.find((other) => idOf(other) === parentOf(state));
  return parent?.metadata?.source === "input" && parentOf(parent) ? parentOf(parent) : parentOf(state);
}

/** Return where a message of the user begins: the checkpoint to start from in order to say something else. */
export function beginning(history, head, message) {
  const states = path(history, head).filter((state) => messagesOf(state).some((other) => other.id === message));
  return states.length ? baseOf(history, states.at(-1)) : null;
}

/** Return what was said in place of a message: for each, the id of the message and the newest checkpoint behind it. */
export function alternatives(history, head, message) {
  const base = beginning(history, head, message);
  const found = new Map();
  for (const state of [...history].reverse()) {
    const said = messagesOf(state).filter((other) => other.type === "human").at(-1);
    const before = history.find((other) => idOf(other) === parentOf(state));
    const isNew = said && !messagesOf(before ?? {}).some((other) => other.id === said.id);
    if (isNew && !found.has(said.id) && baseOf(history, state) === base) found.set(said.id, idOf(state));
  }
  return [...found].map(([id, checkpoint]) => ({ id, checkpoint: newestBehind(history, checkpoint) }));
}

/** Return the newest checkpoint that stands behind this one, or itself. */
function newestBehind(history, id) {
  return idOf(history.find((state) => path(history, idOf(state)).some((other) => idOf(other) === id)));
}

/** Return the checkpoint at which a message was the last one and nothing was left to do, or undefined. */
export function endOf(history, head, message) {
  const ends = path(history, head).filter((state) => messagesOf(state).at(-1)?.id === message && !state.next.length);
  return ends.length ? idOf(ends[0]) : undefined;
}

export { idOf };
