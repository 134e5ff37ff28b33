// What an agent asks before it calls a tool, as LangChain's HumanInTheLoopMiddleware asks it in either of its two modes.

/** Return the questions that a state waits for. */
export function questionsOf(state) {
  const tasks = (state?.tasks ?? []).flatMap((task) => task.interrupts ?? []);
  return tasks.length ? tasks : (state?.interrupts ?? []);
}

/** Return the requests of a question: one if each call is asked about by itself, else those of all calls together. */
export const requestsOf = ({ value }) => (value?.type === "tool_approval" ? [value] : (value?.action_requests ?? []));

/** Return the answer to a question; `decisions` has one decision for each of its requests. */
export const answerTo = ({ value }, decisions) => (value?.type === "tool_approval" ? decisions[0] : { decisions });

/** Return for each of these tool calls that waits for a decision where its request stands among the questions. */
export function requestsByCall(questions, calls) {
  const found = new Map();
  questions.forEach((asked, question) => {
    requestsOf(asked).forEach((told, request) => {
      const same = (call) => call.name === told.name && JSON.stringify(call.args) === JSON.stringify(told.args);
      const id = told.tool_call_id ?? calls.find((call) => same(call) && !found.has(call.id))?.id;
      if (id) found.set(id, { question, request });
    });
  });
  return found;
}
