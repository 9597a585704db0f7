// The card on which an agent asks before it uses a tool, and on which the answer stays. Sends nothing itself:
// clicks are wired in app.js. Everything shown is text, never HTML.

import { refreshTimes } from "../page.js";
import { block, make } from "./elements.js";

const BY = { user: "you", staff: "support" };
const CHOICES = [["approve", "Approve", "button-primary"], ["refuse", "Refuse", ""]];

/** The questions of an answer that wait for the reader. */
export function openApprovals(reply) {
  return reply.steps.filter((step) => step.kind === "approval" && step.approved === null);
}

/** What was decided, and by whom, as a sentence. */
export function approvalWords({ approved, by, reason }) {
  if (approved === "void") return "No longer needed.";
  if (!approved && by === "system") return "Refused: nobody answered in time.";
  const who = BY[by] ? ` by ${BY[by]}` : "";
  return `${approved ? "Approved" : "Refused"}${who}${reason ? `: ${reason}` : "."}`;
}

/** The whole card. It can take the focus when the button that had it goes away. */
export function approvalStep(step) {
  const item = make("li", "step step-approval");
  const card = make("div", "approval");
  const what = make("p", "approval-what", "The agent asks before it uses ");
  what.append(make("code", "step-name", step.tool));
  card.tabIndex = -1;
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", `Question about ${step.tool}`);
  card.append(what);
  if (step.why) card.append(make("p", "approval-why", step.why));
  if (step.given != null) card.append(block("Arguments", step.given));
  card.append(step.approved === null ? choices(step) : make("p", "approval-said", approvalWords(step)));
  item.append(card);
  return item;
}

function choices(step) {
  const row = make("p", "approval-row");
  for (const [act, text, look] of CHOICES) {
    const button = make("button", `button ${look}`, text);
    Object.assign(button, { type: "button", disabled: Boolean(step.sending) });
    Object.assign(button.dataset, { act, call: step.callId });
    row.append(button);
  }
  if (step.sending) row.append(make("span", "muted small", "Sending your answer"));
  else if (step.expiresAt) row.append(expiry(step.expiresAt));
  return row;
}

function expiry(at) {
  const element = make("span", "muted small", "Without an answer it is refused ");
  const time = make("time");
  time.dateTime = at;
  time.dataset.rel = "";
  element.append(time);
  refreshTimes(element);
  return element;
}

/** The card as the server rendered it, which is how it stands after a reload. */
export function readApproval(item) {
  const { call, tool, approved, by, until } = item.dataset;
  const given = parsed(item.querySelector("pre")?.textContent);
  const why = item.querySelector(".approval-why")?.textContent || "";
  const known = { yes: true, no: false, void: "void" };
  return {
    kind: "approval", callId: call, tool, given, why, expiresAt: until || null,
    approved: known[approved] ?? null, by: by || null, reason: item.dataset.reason || "", sending: false,
  };
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}
