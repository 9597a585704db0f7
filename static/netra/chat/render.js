// Shows entries (see events.js) as turns on the page, and reads turns that the server rendered.
// Decides nothing: what happens on a click is wired in app.js, Markdown is in markdown.js.

import { refreshTimes } from "../page.js";
import { newQuestion, newReply, activeReplies, INTERRUPTED, TERMINAL } from "./events.js";
import { Prose, decorate, paintCode } from "./markdown.js";
import { block, icon, make, setText, svg } from "./elements.js";
import { approvalStep, openApprovals, readApproval } from "./approval.js";

const page = document.body.dataset;
const log = document.querySelector(".log");
const views = new Map();
const RESULT_WORDS = {
  running: "running", ok: "worked", error: "failed", timeout: "took too long", denied: "not allowed",
  void: "not finished",
};

/* --- words -------------------------------------------------------------------------------------- */

/** "0.4 s", "12 s", "2 min 5 s". */
export function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** What a state is called when we speak to the person who asked. */
export function stateWords(reply) {
  if (reply.stopping && !TERMINAL.has(reply.state)) return "Stopping";
  if (openApprovals(reply).length) return "Waiting for your decision";
  const words = {
    pending: reply.queued ? "Waiting for the answer above" : "Waiting to start", starting: "Starting",
    running: "Working", completing: "Finishing",
    completed: reply.ms ? `Done in ${duration(reply.ms)}` : "Done", failed: "Something went wrong",
    timeout: "Took too long", dead: "Lost contact; we have been told",
    cancelled: { staff: "Stopped by support", system: "Stopped by the system" }[reply.by] || "Stopped by you",
  };
  return words[reply.state] || reply.state;
}

function badge(reply) {
  const element = make("span", `state state-${reply.state}`);
  element.append(svg(`${page.states}#${reply.state}`), make("span", "", stateWords(reply)));
  return element;
}

/* --- steps ---------------------------------------------------------------------------------------- */

function toolStep(step, open) {
  const item = make("li", "step step-tool");
  const details = make("details");
  const line = make("summary", "step-line");
  item.dataset.status = step.status;
  line.append(icon("tool"), make("code", "step-name", step.tool));
  line.append(make("span", "step-result", RESULT_WORDS[step.status] || step.status));
  if (step.ms != null) line.append(make("span", "step-ms figures", `${Math.round(step.ms)} ms`));
  details.append(line);
  if (step.given != null) details.append(block("Arguments", step.given));
  if (step.result != null) details.append(block("Result", step.result));
  if (details.childElementCount === 1) item.append(bare(line));
  else {
    const arrow = icon("chevron");
    arrow.classList.add("chevron");
    line.append(arrow);
    details.open = open;
    item.append(details);
  }
  return item;
}

/** A tool line with nothing to unfold. */
function bare(summary) {
  const line = make("span", "step-line");
  line.append(...summary.childNodes);
  return line;
}

function noteStep(step, open, reply) {
  const item = make("li", "step step-note");
  const where = Number.isInteger(step.step) ? `Step ${step.step}: ` : "";
  const share = typeof step.progress === "number" ? ` (${Math.round(step.progress * 100)} %)` : "";
  item.append(make("span", "", `${where}${step.note}${share}`));
  if (step.agent && step.agent !== reply.agent) item.append(make("span", "step-agent", step.agent));
  return item;
}

function againStep(step) {
  const reason = step.reason ? `: ${step.reason}` : "";
  return make("li", "step step-again", `Started again, attempt ${step.attempt}${reason}`);
}

const STEP_VIEWS = { tool: toolStep, note: noteStep, again: againStep, approval: approvalStep };

function showSteps(view, reply) {
  const { steps } = reply;
  view.work.hidden = steps.length === 0;
  if (!steps.length) return;
  steps.forEach((step, index) => {
    const before = view.steps[index];
    const mark = `${step.status}|${step.approved}|${step.sending}|${step.ms}`;
    if (before?.mark === mark) return;
    const focused = before?.element.contains(document.activeElement);
    const element = STEP_VIEWS[step.kind](step, before?.element.querySelector("details")?.open || false, reply);
    if (before) before.element.replaceWith(element);
    else view.list.append(element);
    if (focused) element.querySelector("summary, [tabindex]")?.focus({ preventScroll: true });
    view.steps[index] = { mark, element };
  });
  const tools = steps.filter((step) => step.kind === "tool").length;
  setText(view.title, TERMINAL.has(reply.state) ? workDone(steps.length, tools) : workNow(steps));
  foldSteps(view, reply);
}

/** Steps are open while there is nothing else to read, unless the reader chose otherwise. */
function foldSteps(view, reply) {
  const asks = openApprovals(reply).length > 0;
  const open = asks || (!TERMINAL.has(reply.state) && !reply.draft.text);
  if (view.stepsOpen === open || (view.chosen && !asks)) return;
  view.stepsOpen = open;
  if (!open && view.list.contains(document.activeElement)) view.work.querySelector("summary").focus({ preventScroll: true });
  view.work.open = open;
}

function workDone(steps, tools) {
  const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
  return tools ? `${count(steps, "step")}, ${count(tools, "tool call")}` : count(steps, "step");
}

function workNow(steps) {
  const last = steps.at(-1);
  if (last.kind === "tool" && last.status === "running") return `Using ${last.tool}`;
  if (last.kind === "approval") return last.approved === null ? "Waiting for your decision" : "Answered; going on";
  return last.kind === "note" ? last.note : "Working";
}

/* --- turns -------------------------------------------------------------------------------------------- */

function viewOf(entry, thread) {
  if (views.has(entry)) return views.get(entry);
  const template = document.getElementById(`${entry.kind}-template`);
  const element = template.content.firstElementChild.cloneNode(true);
  const next = thread.entries[thread.entries.indexOf(entry) + 1];
  log.insertBefore(element, (next && views.get(next)?.element) || null);
  return remember(entry, element);
}

function remember(entry, element) {
  const find = (selector) => element.querySelector(selector);
  const view = {
    element, entry, who: find(".turn-who"), state: find(".turn-state"), clock: find(".turn-clock"),
    work: find(".work"), title: find(".work-title"), list: find(".steps"), note: find(".turn-note"),
    problem: find(".problem"), time: find("time"), body: find(".bubble, .prose"), steps: [],
    copy: find('[data-act="copy-answer"]'), again: find('[data-act="again"]'), back: find('[data-act="take-back"]'),
  };
  if (entry.kind === "reply") {
    view.prose = new Prose(view.body);
    view.work.querySelector("summary").addEventListener("click", () => (view.chosen = true));
  }
  views.set(entry, view);
  return view;
}

/** Show one entry as it is now; touches only what changed. */
export function show(entry, thread) {
  const view = viewOf(entry, thread);
  if (entry.kind === "question") showQuestion(view, entry);
  else showReply(view, entry, thread);
  showTime(view.time, entry.at);
}

function showTime(time, at) {
  if (!at || time.dateTime === at) return;
  time.dateTime = at;
  time.removeAttribute("title");
  refreshTimes(time.parentNode);
}

function showQuestion(view, question) {
  const words = { sending: "Sending", waiting: "Not sent yet. It goes out when the connection is back.", sent: "" };
  setText(view.body, question.text);
  const { problem } = question;
  const text = problem ? `Not sent. ${problem.message}${problem.fix ? ` ${problem.fix}` : ""}` : words[question.status];
  setText(view.note, text || "");
  view.note.hidden = !text;
  view.note.classList.toggle("bad", Boolean(problem));
  view.back.hidden = !problem;
  view.element.dataset.status = question.status;
}

function showReply(view, reply, thread) {
  const done = TERMINAL.has(reply.state);
  reply.queued = reply.state === "pending" && activeReplies(thread)[0] !== reply;
  const mark = `${reply.state}|${stateWords(reply)}`;
  if (view.mark !== mark) view.state.replaceChildren(badge(reply));
  view.mark = mark;
  if (reply.agent) setText(view.who, titleOf(reply.agent));
  view.element.dataset.state = reply.state;
  view.element.setAttribute("aria-busy", String(!done));
  if (!view.read) showSteps(view, reply);
  showBody(view, reply, done);
  showEnd(view, reply, done, thread);
}

function titleOf(agent) {
  const option = document.querySelector(`#agent-titles option[value="${CSS.escape(agent)}"]`);
  return option?.textContent || agent;
}

function nameOf(title) {
  const options = [...document.querySelectorAll("#agent-titles option")];
  return options.find((option) => option.textContent === title)?.value || null;
}

function showBody(view, reply, done) {
  const { text } = reply.draft;
  if (view.shown === text && view.shownDone === done) return;
  if (view.shown !== text || view.prose.blocks) view.prose.update(text, { live: !done });
  Object.assign(view, { shown: text, shownDone: done });
}

function showEnd(view, reply, done, thread) {
  const note = done ? endNote(reply) : "";
  setText(view.note, note);
  view.note.hidden = !note;
  showProblem(view, reply.problem);
  view.copy.hidden = !done || !reply.draft.text;
  const last = thread.entries.at(-1) === reply;
  view.again.hidden = !(done && last && reply.state !== "completed");
  if (done) setText(view.clock, "");
}

function endNote({ partial, state, by, reason }) {
  const why = state === "cancelled" && reason && (by !== "user" || reason === INTERRUPTED) ? reason : "";
  return [why, partial ? "This answer is incomplete." : ""].filter(Boolean).join(" ");
}

function showProblem(view, problem) {
  view.problem.hidden = !problem;
  if (!problem) return;
  const [what, fix, id] = view.problem.children;
  setText(what, problem.message || "The answer could not be finished.");
  setText(fix, problem.fix || "");
  fix.hidden = !problem.fix;
  id.hidden = !problem.receiptId;
  setText(id.querySelector("code"), problem.receiptId || "");
  id.querySelector("[data-copy]").dataset.copy = problem.receiptId || "";
}

/** Seconds since an answer began, once a second while it is going on. */
export function showClocks(thread, now = Date.now()) {
  for (const reply of activeReplies(thread)) {
    const view = views.get(reply);
    if (!view || !reply.startedAt) continue;
    setText(view.clock, `${Math.max(0, Math.floor((now - Date.parse(reply.startedAt)) / 1000))} s`);
  }
}

export function entryAt(element) {
  const turn = element.closest(".turn");
  for (const [entry, view] of views) if (view.element === turn) return entry;
  return null;
}

export function forget(entry) {
  views.get(entry)?.element.remove();
  views.delete(entry);
}

/* --- what the server rendered -------------------------------------------------------------------------- */

/** Entries for the turns that are on the page already. */
export function readPage() {
  return [...log.querySelectorAll(".turn")].map((element) =>
    element.dataset.role === "user" ? readQuestion(element) : readReply(element));
}

function readQuestion(element) {
  const text = element.querySelector(".bubble").textContent;
  const entry = newQuestion({ text, messageId: element.dataset.message });
  remember(entry, element);
  return entry;
}

function readReply(element) {
  const { message, execution, state, partial, by, why, attempt } = element.dataset;
  const text = element.querySelector("template.source")?.content.textContent || "";
  const alive = !TERMINAL.has(state);
  const entry = newReply({ executionId: execution || null, messageId: message, state: state || "completed", text });
  entry.partial = partial !== undefined;
  entry.agent = nameOf(element.querySelector(".turn-who").textContent);
  Object.assign(entry, { by: by || null, reason: why || "" });
  entry.problem = readProblem(element.querySelector(".problem"));
  entry.steps = [...element.querySelectorAll(".step")].map(readStep);
  entry.draft.attempt = Number(attempt) || 1;
  const view = remember(entry, element);
  view.shown = text;
  view.read = !alive;
  if (alive) view.list.replaceChildren();
  view.mark = alive ? null : `${entry.state}|${stateWords(entry)}`;
  view.shownDone = !alive;
  if (alive) entry.startedAt = element.querySelector("time").dateTime || null;
  decorate(view.body);
  paintCode(view.body);
  return entry;
}

function readProblem(box) {
  if (box.hidden) return null;
  const [what, fix, id] = box.children;
  return { message: what.textContent, fix: fix.textContent, receiptId: id.querySelector("code").textContent };
}

function readStep(item) {
  if (item.classList.contains("step-approval")) return readApproval(item);
  const { dataset, textContent } = item;
  const ms = /(\d+) ms/.exec(textContent)?.[1];
  const status = RESULT_WORDS[dataset.status] ? dataset.status : "running";
  return { kind: "tool", tool: dataset.tool, callId: dataset.call || null, status, ms: ms ? Number(ms) : null };
}
