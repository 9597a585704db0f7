// Folds the frames of one thread into plain data: order, gaps, attempts, text offsets.
// No DOM, no socket, no clock belongs here, so that all of it can be tested by itself.

export const TERMINAL = new Set(["completed", "failed", "timeout", "dead", "cancelled"]);
/** Why an answer ended that made way; the server says it in these words. */
export const INTERRUPTED = "Stopped, because you sent another message.";
const HELD_MAX = 2000;

/** Length in Unicode code points, which is what the server counts. */
export function countPoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The text without its first `count` code points. */
export function dropPoints(text, count) {
  let at = 0;
  for (; count > 0 && at < text.length; count -= 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return text.slice(at);
}

/* --- the text of an answer while it streams ------------------------------------------------- */

export function newDraft(text = "", attempt = 1) {
  return { attempt, text, points: countPoints(text), held: [] };
}

/** True while pieces arrived that do not yet join the text. */
export function hasGap(draft) {
  return draft.held.length > 0;
}

function startAttempt(draft, attempt) {
  Object.assign(draft, newDraft("", attempt));
}

/** Take one piece: "applied", "ignored" (old or known), or "gap" (kept until a snapshot reaches it). */
export function addDelta(draft, { attempt = draft.attempt, offset, text }) {
  if (attempt < draft.attempt) return "ignored";
  if (attempt > draft.attempt) startAttempt(draft, attempt);
  if (offset > draft.points) {
    if (draft.held.length < HELD_MAX) draft.held.push({ offset, text });
    return "gap";
  }
  const fresh = dropPoints(text, draft.points - offset);
  if (!fresh) return "ignored";
  draft.text += fresh;
  draft.points += countPoints(fresh);
  joinHeld(draft);
  return "applied";
}

/** Take the whole text so far. A snapshot that is behind what is known changes nothing. */
export function setSnapshot(draft, { attempt = draft.attempt, text }) {
  if (attempt < draft.attempt) return "ignored";
  if (attempt > draft.attempt) startAttempt(draft, attempt);
  const points = countPoints(text);
  if (points <= draft.points) return "ignored";
  draft.text = text;
  draft.points = points;
  joinHeld(draft);
  return "applied";
}

/** Append kept pieces that now join; keep the others. */
function joinHeld(draft) {
  const held = draft.held.sort((a, b) => a.offset - b.offset);
  draft.held = [];
  for (const piece of held) {
    if (piece.offset > draft.points) {
      draft.held.push(piece);
      continue;
    }
    const fresh = dropPoints(piece.text, draft.points - piece.offset);
    draft.text += fresh;
    draft.points += countPoints(fresh);
  }
}

/* --- the thread ----------------------------------------------------------------------------- */

export function newThread({ id = null, epoch = null, seq = 0 } = {}) {
  return { id, epoch, seq, entries: [], replies: new Map() };
}

export function newQuestion({ text, clientId = null, messageId = null, status = "sent", at = null }) {
  return { kind: "question", text, clientId, messageId, status, at, problem: null };
}

export function newReply({ executionId, messageId = null, state = "pending", text = "", ...rest }) {
  return {
    kind: "reply", executionId, messageId, state, draft: newDraft(text), steps: [], agent: null,
    problem: null, partial: false, stopping: false, startedAt: null, at: null, ms: null, by: null, ...rest,
  };
}

export function addEntry(thread, entry, after = null) {
  const index = after ? thread.entries.indexOf(after) + 1 : thread.entries.length;
  thread.entries.splice(index, 0, entry);
  if (entry.kind === "reply") thread.replies.set(entry.executionId, entry);
  return entry;
}

export function findQuestion(thread, { clientId, messageId }) {
  return thread.entries.find(
    (entry) => entry.kind === "question" &&
      ((clientId && entry.clientId === clientId) || (messageId && entry.messageId === messageId)),
  );
}

/** The reply of an execution, made where it belongs if it is new: executions of a thread run in turn. */
export function replyOf(thread, executionId, question = firstUnanswered(thread)) {
  const known = thread.replies.get(executionId);
  if (known || !executionId) return known;
  return addEntry(thread, newReply({ executionId }), question && lastAnswerTo(thread, question));
}

/** The first of the questions that wait at the end, without those that the server does not have yet. */
function firstUnanswered(thread) {
  const last = thread.entries.findLastIndex((entry) => entry.kind === "reply");
  return thread.entries.slice(last + 1).find((entry) => entry.status === "sent") || null;
}

function lastAnswerTo(thread, question) {
  let index = thread.entries.indexOf(question);
  while (thread.entries[index + 1]?.kind === "reply") index += 1;
  return thread.entries[index];
}

export function activeReplies(thread) {
  return thread.entries.filter((entry) => entry.kind === "reply" && !TERMINAL.has(entry.state));
}

export function lastReply(thread) {
  const last = thread.entries.at(-1);
  return last?.kind === "reply" ? last : null;
}

/* --- frames --------------------------------------------------------------------------------- */

/**
 * Take one frame. `outcome` is applied, duplicate, gap (a numbered event is missing: subscribe again),
 * hole (a piece of text is missing: a snapshot will come) or ignored. `entry` is what changed.
 */
export function fold(thread, frame) {
  if (!thread.id || frame.thread_id !== thread.id) return { outcome: "ignored" };
  if (frame.type === "message_delta" || frame.type === "message_snapshot") return foldText(thread, frame);
  if (!Number.isInteger(frame.seq)) return { outcome: "ignored" };
  if (frame.seq <= thread.seq) return { outcome: "duplicate" };
  if (frame.seq > thread.seq + 1) return { outcome: "gap" };
  thread.seq = frame.seq;
  const entry = HANDLERS[frame.type]?.(thread, frame, frame.data || {}) || null;
  return { outcome: "applied", entry };
}

function foldText(thread, { type, execution_id: executionId, data }) {
  const reply = thread.replies.get(executionId) || thread.entries.find((entry) =>
    entry.kind === "reply" && entry.messageId === data.message_id) || replyOf(thread, executionId);
  if (!reply || TERMINAL.has(reply.state)) return { outcome: "ignored" };
  const before = reply.draft.attempt;
  const result = (type === "message_delta" ? addDelta : setSnapshot)(reply.draft, data);
  if (reply.draft.attempt > before) voidSteps(reply);
  if (result === "ignored") return { outcome: "ignored" };
  reply.messageId ||= data.message_id;
  if (reply.state === "pending" || reply.state === "starting") reply.state = "running";
  return { outcome: result === "gap" ? "hole" : "applied", entry: reply };
}

/** The server took a message of ours: bind it to its row and make room for the answer. */
export function accept(thread, clientId, data) {
  const question = findQuestion(thread, { clientId, messageId: data.message_id });
  if (question) Object.assign(question, { messageId: data.message_id, status: "sent", problem: null });
  const reply = replyOf(thread, data.execution_id, question);
  const before = activeReplies(thread).filter((one) => one !== reply);
  if (data.queued && !data.duplicate && data.policy === "interrupt") for (const one of before) one.stopping = true;
  return { question, reply };
}

/** What `replayed` says about executions that are still going on. */
export function settle(thread, data) {
  if (data.epoch) thread.epoch = data.epoch;
  const changed = [];
  for (const { execution_id: id, state, attempt } of data.executions || []) {
    const reply = replyOf(thread, id);
    if (!reply || TERMINAL.has(reply.state) || TERMINAL.has(state)) continue;
    reply.state = state;
    if (attempt > reply.draft.attempt) restart(reply, attempt);
    changed.push(reply);
  }
  return changed;
}

function voidSteps(reply) {
  for (const step of reply.steps) {
    if (step.kind === "tool" && step.status === "running") step.status = "void";
    if (step.kind === "approval" && step.approved === null) step.approved = "void";
  }
}

function restart(reply, attempt) {
  startAttempt(reply.draft, attempt);
  voidSteps(reply);
}

function openTool(reply, callId, tool) {
  const running = reply.steps.filter((step) => step.kind === "tool" && step.status === "running");
  return running.find((step) => step.callId === callId) ||
    running.find((step) => !step.callId && step.tool === tool);
}

/** Finish a reply; text that came with the event is the record, otherwise what was streamed stays. */
function finish(reply, frame, data, state) {
  if (typeof data.text === "string") reply.draft = newDraft(data.text, reply.draft.attempt);
  reply.draft.held = [];
  voidSteps(reply);
  reply.messageId = data.message_id || reply.messageId;
  Object.assign(reply, { state, at: frame.at || null, ms: data.ms ?? null, stopping: false });
  reply.partial = state !== "completed" && reply.draft.text !== "";
  return reply;
}

function failedState({ state, code = "" }) {
  if (TERMINAL.has(state)) return state;
  if (/time_?out|timed_out|deadline/.test(code)) return "timeout";
  return /(^|_)dead|lost/.test(code) ? "dead" : "failed";
}

const HANDLERS = {
  message_created(thread, frame, data) {
    if (data.role && data.role !== "user") return null;
    let question = findQuestion(thread, { clientId: data.client_id, messageId: data.message_id });
    question ||= addEntry(thread, newQuestion({ text: data.text, clientId: data.client_id }));
    Object.assign(question, { messageId: data.message_id, text: data.text, status: "sent", at: frame.at });
    if (frame.execution_id) replyOf(thread, frame.execution_id, question);
    return question;
  },

  agent_started(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply || TERMINAL.has(reply.state)) return reply;
    Object.assign(reply, { state: "running", agent: data.agent || reply.agent, startedAt: frame.at });
    if (data.attempt > reply.draft.attempt) restart(reply, data.attempt);
    return reply;
  },

  attempt_started(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply || TERMINAL.has(reply.state)) return reply;
    if (data.attempt > reply.draft.attempt) restart(reply, data.attempt);
    else voidSteps(reply);
    reply.state = "running";
    reply.steps.push({ kind: "again", attempt: data.attempt, reason: data.reason || "" });
    return reply;
  },

  agent_thinking(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    const { agent, step, note, progress = null } = data;
    reply?.steps.push({ kind: "note", agent, step, note: note || "Thinking", progress });
    return reply;
  },

  tool_executing(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    const { call_id: callId, tool, arguments: given } = data;
    reply?.steps.push({ kind: "tool", callId, tool, given, status: "running", result: null, ms: null });
    return reply;
  },

  tool_completed(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply) return null;
    let step = openTool(reply, data.call_id, data.tool);
    if (!step) reply.steps.push((step = { kind: "tool", tool: data.tool }));
    Object.assign(step, { callId: data.call_id, status: data.status, result: data.result, ms: data.ms });
    return reply;
  },

  approval_requested(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    const { call_id: callId, tool, arguments: given, reason: why = "", expires_at: expiresAt } = data;
    if (!reply || TERMINAL.has(reply.state)) return reply;
    reply.steps.push({ kind: "approval", callId, tool, given, why, expiresAt, approved: null, sending: false });
    reply.state = "pending"; // it holds no runner while it asks
    return reply;
  },

  approval_decided(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    const step = reply?.steps.find((one) => one.kind === "approval" && one.callId === data.call_id);
    if (step) Object.assign(step, { approved: data.approved, by: data.by, reason: data.reason, sending: false });
    return reply;
  },

  agent_completed(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply) return null;
    if (data.final !== false) return finish(reply, frame, data, "completed");
    reply.steps.push({ kind: "note", agent: data.agent, note: "Finished its part", progress: null });
    return reply;
  },

  agent_error(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply) return null;
    const { code, message, fix, receipt_id: receiptId } = data;
    if (data.final === false) {
      reply.steps.push({ kind: "note", agent: data.agent, note: message || "A step failed", progress: null });
      return reply;
    }
    reply.problem = { code, message, fix, receiptId };
    return finish(reply, frame, data, failedState(data));
  },

  agent_cancelled(thread, frame, data) {
    const reply = replyOf(thread, frame.execution_id);
    if (!reply || data.final === false) return reply;
    Object.assign(reply, { by: data.by || "user", reason: data.reason || "" });
    return finish(reply, frame, data, "cancelled");
  },
};
