// Wires the chat page: frames to entries, clicks to frames, connection to banner. Rules of order and text are in
// events.js, drawing in render.js, the connection in socket.js.

import { copyText } from "../page.js";
import { approvalWords, openApprovals } from "./approval.js";
import * as events from "./events.js";
import * as view from "./render.js";
import * as store from "./store.js";
import { ChatSocket } from "./socket.js";
import { Composer } from "./composer.js";
import { Scroller, startDrawer, Banner, announce } from "./frame.js";

const page = document.body.dataset;
const HOLE_PATIENCE = 3000;

class Chat {
  constructor() {
    this.thread = events.newThread({ id: page.thread || null, epoch: page.epoch || null, seq: Number(page.seq) });
    for (const entry of view.readPage()) events.addEntry(this.thread, entry);
    this.memory = new store.Memory(page.organisation, page.person);
    this.pending = new Map();
    this.dirty = new Set();
    this.inStep = false;
    this.scroller = new Scroller();
    this.banner = new Banner(() => this.socket.retryNow());
    this.composer = new Composer({
      memory: this.memory, threadId: this.thread.id, limit: Number(page.textMax),
      on: { send: (message) => this.ask(message), stop: () => this.stop() },
    });
    this.socket = new ChatSocket(socketAddress(), {
      ready: () => this.connected(), frame: (frame) => this.receive(frame),
      waiting: (state) => this.disconnected(state), closed: (state) => this.refused(state),
    });
  }

  start() {
    for (const item of this.memory.outbox) if (item.threadId === this.thread.id) this.showUnsent(item);
    this.changeAll();
    this.draw();
    this.scroller.toEnd();
    document.addEventListener("click", (event) => this.click(event));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.escape(event));
    setInterval(() => view.showClocks(this.thread), 1000);
    this.socket.connect();
  }

  /* --- connection ---------------------------------------------------------------------------------------- */

  connected() {
    this.inStep = false;
    this.banner.hide();
    if (this.thread.id) this.subscribe();
    else this.caughtUp();
  }

  subscribe() {
    const { id, seq, epoch } = this.thread;
    this.inStep = false;
    this.socket.send({ type: "subscribe", id: store.newId(), thread_id: id,
      data: { thread_id: id, after: seq, ...(epoch && { epoch }) } });
  }

  /** The page shows what the server has: now send what waited. */
  caughtUp() {
    this.inStep = true;
    for (const item of this.memory.outbox) this.transmit(item);
  }

  disconnected({ delay, error }) {
    this.inStep = false;
    this.pending.clear();
    for (const entry of this.thread.entries) {
      if (entry.status === "sending") this.change(Object.assign(entry, { status: "waiting" }));
      if (entry.stopping) this.change(Object.assign(entry, { stopping: false }));
      if (entry.kind === "reply") this.answering(entry, false);
    }
    this.banner.waiting(delay, { error, busy: events.activeReplies(this.thread).length > 0 });
  }

  refused({ code, error }) {
    this.disconnected({ delay: 0, error });
    this.banner.refused(code, error);
  }

  /* --- frames from the server ------------------------------------------------------------------------------- */

  receive(frame) {
    const answer = ANSWERS[frame.type];
    if (answer) return answer.call(this, frame, frame.data || {});
    if (frame.type === "thread_changed") return this.otherThread(frame.data?.thread_id);
    const { outcome, entry } = events.fold(this.thread, frame);
    if (outcome === "gap" && this.inStep) this.subscribe();
    if (outcome === "hole") this.waitForSnapshot(entry);
    if (outcome === "applied") this.applied(frame, entry);
  }

  applied(frame, entry) {
    if (Number.isInteger(frame.seq)) this.socket.ack(this.thread.id, this.thread.seq);
    if (!entry) return;
    if (entry.kind === "question") this.memory.take(entry.clientId);
    if (entry.kind === "reply" && frame.type in SPEECH) announce(SPEECH[frame.type](frame.data, entry));
    if (frame.data?.final) this.ended(entry);
    this.change(entry);
  }

  ended(entry) {
    this.changeAll();
    if (entry.state === "completed") announce("Answer ready");
    store.touchThread(this.thread.id, { current: true, state: entry.state });
    if (!this.titled) this.learnTitle(this.thread.id);
    this.titled = true;
  }

  /** Pieces of text are missing. The server mends that by itself; ask again if it does not. */
  waitForSnapshot(entry) {
    this.holeTimer ??= setTimeout(() => {
      this.holeTimer = null;
      if (events.hasGap(entry.draft) && this.inStep) this.subscribe();
    }, HOLE_PATIENCE);
  }

  /** Draw on the next frame, or by timer where frames stand still: in hidden and covered pages. */
  change(entry) {
    this.dirty.add(entry);
    if (this.drawTimer) return;
    this.drawTimer = setTimeout(() => this.draw(), 200);
    this.drawFrame = requestAnimationFrame(() => this.draw());
  }

  /** For what depends on neighbours: queued answers, the last one's button to ask again. */
  changeAll() {
    for (const entry of this.thread.entries) this.change(entry);
  }

  draw() {
    clearTimeout(this.drawTimer);
    cancelAnimationFrame(this.drawFrame);
    this.drawTimer = null;
    for (const entry of this.dirty) view.show(entry, this.thread);
    this.dirty.clear();
    this.refresh();
    this.scroller.follow();
  }

  refresh() {
    const active = events.activeReplies(this.thread);
    this.composer.showActivity({ active: active.length > 0, stopping: active.some((reply) => reply.stopping) });
    document.querySelector(".log").setAttribute("aria-busy", String(active.length > 0));
    document.querySelector(".empty").hidden = this.thread.entries.length > 0;
    view.showClocks(this.thread);
  }

  /* --- sending ---------------------------------------------------------------------------------------------- */

  ask({ text, agent }) {
    const item = { id: store.newId(), threadId: this.thread.id, text, agent, at: new Date().toISOString() };
    this.memory.put(item);
    this.showUnsent(item);
    this.scroller.toEnd();
    if (this.inStep) this.transmit(item);
  }

  showUnsent({ id, text, at }) {
    if (events.findQuestion(this.thread, { clientId: id })) return;
    const status = this.socket.ready ? "sending" : "waiting";
    this.change(events.addEntry(this.thread, events.newQuestion({ text, clientId: id, status, at })));
  }

  /** Later messages of a thread that does not exist yet wait until the first one has made it. */
  transmit(item) {
    const first = this.memory.outbox.find((one) => one.threadId === null);
    if (item.threadId === null && first !== item) return;
    const { id, threadId, text, agent } = item;
    const data = { text, ...(agent && { agent }) };
    if (!this.socket.send({ type: "user_message", id, ...(threadId && { thread_id: threadId }), data })) return;
    const question = events.findQuestion(this.thread, { clientId: id });
    if (question?.status === "waiting") this.change(Object.assign(question, { status: "sending" }));
  }

  request(kind, frame, entry) {
    const id = store.newId();
    if (!this.socket.send({ ...frame, id })) {
      this.composer.say("There is no connection just now. Try again when it is back.");
      return false;
    }
    this.pending.set(id, { kind, entry });
    return true;
  }

  stop() {
    for (const reply of events.activeReplies(this.thread)) {
      const id = reply.executionId;
      const frame = { type: "cancel", execution_id: id, data: { execution_id: id } };
      if (reply.stopping || !this.request("cancel", frame, reply)) continue;
      reply.stopping = true;
      announce("Stopping");
      this.change(reply);
    }
  }

  /** Asks the same question again, of the same agent, as a message of its own. */
  askAgain(reply) {
    const before = this.thread.entries.slice(0, this.thread.entries.indexOf(reply));
    const question = before.findLast((entry) => entry.kind === "question");
    if (question) this.ask({ text: question.text, agent: reply.agent ?? this.composer.agent() });
    document.getElementById("text").focus();
  }

  decide(reply, { act, call }) {
    const data = { execution_id: reply.executionId, call_id: call, approve: act === "approve" };
    if (!this.request("decide", { type: "decide", execution_id: reply.executionId, data }, reply)) return;
    this.answering(reply, true);
  }

  /** Whether an answer of ours is on its way; without the connection it has to be given again. */
  answering(reply, sending) {
    for (const step of openApprovals(reply)) step.sending = sending;
    this.change(reply);
  }

  takeBack(question) {
    this.thread.entries = this.thread.entries.filter((entry) => entry !== question);
    view.forget(question);
    this.composer.giveBack(question.text);
    this.refresh();
  }

  /* --- threads --------------------------------------------------------------------------------------------------- */

  /** The first message made a thread: this page is its page from now on. */
  adopt(threadId, seq, text) {
    this.thread.id = threadId;
    this.thread.seq = Math.max(0, (seq || 1) - 1);
    this.memory.bindNew(threadId);
    this.composer.moveTo(threadId);
    const title = [...text.trim().split("\n")[0]].slice(0, 60).join("");
    history.replaceState(null, "", threadAddress(threadId));
    document.title = `${title} · Netra`;
    document.querySelector("h1").textContent = title;
    store.touchThread(threadId, { href: threadAddress(threadId), title, current: true });
    for (const item of this.memory.outbox) this.transmit(item);
  }

  async learnTitle(threadId) {
    const title = await store.fetchTitle(page.api, threadId, page.organisation);
    if (title && store.findItem(threadId)) {
      store.findItem(threadId).querySelector(".thread-title").textContent = title;
      if (threadId === this.thread.id) document.title = `${title} · Netra`;
    }
  }

  otherThread(threadId) {
    if (!threadId || threadId === this.thread.id) return;
    const known = store.findItem(threadId);
    store.touchThread(threadId, { href: threadAddress(threadId), mark: true, state: "unknown" });
    if (!known) this.learnTitle(threadId);
  }

  /** The log cannot be continued from here: read the page anew. Drafts and outbox survive that. */
  startAnew() {
    if (this.memory.mayReload()) location.reload();
    else this.banner.stale();
  }

  /* --- clicks and keys ---------------------------------------------------------------------------------------------- */

  click(event) {
    const button = event.target.closest?.("[data-act]");
    if (!button) return;
    const { act } = button.dataset;
    const entry = view.entryAt(button);
    if (act === "starter") this.ask({ text: button.textContent.trim(), agent: this.composer.agent() });
    if (act === "copy-answer") copyText(entry.draft.text, button);
    if (act === "copy-code") copyText(button.closest(".code").querySelector("pre").textContent, button);
    if (act === "again") this.askAgain(entry);
    if (act === "take-back") this.takeBack(entry);
    if (act === "approve" || act === "refuse") this.decide(entry, button.dataset);
  }

  escape(event) {
    if (event.defaultPrevented || event.isComposing) return;
    this.stop();
  }
}

/** Answers to frames of ours; `this` is the chat. */
const ANSWERS = {
  message_accepted(frame, data) {
    this.pending.delete(frame.id);
    const item = this.memory.take(data.client_id ?? frame.id);
    if (!this.thread.id && item && item.threadId === null) this.adopt(data.thread_id, data.seq, item.text);
    if (data.thread_id !== this.thread.id) return this.acceptedElsewhere(data.thread_id);
    const { reply } = events.accept(this.thread, item?.id, data);
    if (reply) reply.agent ??= item?.agent ?? null;
    this.changeAll();
    announce(`Message sent. ${data.queued ? QUEUED[data.policy] || QUEUED.queue : "The agent is about to start"}`);
    if (data.duplicate) this.subscribe();
    else this.inStep = true;
  },

  replayed(frame, data) {
    if (frame.thread_id && frame.thread_id !== this.thread.id) return;
    for (const entry of events.settle(this.thread, data)) this.change(entry);
    this.caughtUp();
  },

  resync(frame) {
    if (!frame.thread_id || frame.thread_id === this.thread.id) this.startAnew();
  },

  cancel_accepted(frame) {
    this.pending.delete(frame.id);
  },

  feedback_saved() {},

  error(frame, data) {
    const asked = this.pending.get(frame.id);
    this.pending.delete(frame.id);
    const item = this.memory.outbox.find((one) => one.id === frame.id);
    if (item) return this.notTaken(item, data);
    if (asked?.kind === "cancel") this.change(Object.assign(asked.entry, { stopping: false }));
    if (asked?.kind === "decide") this.answering(asked.entry, false);
    if (asked) view.show(asked.entry, this.thread);
    const text = [data.message, data.fix].filter(Boolean).join(" ");
    if (asked || frame.id) this.composer.say(text || "The server refused this.");
  },
};

Object.assign(Chat.prototype, {
  /** A message written on another page of this tab went out; its events are not for this page. */
  acceptedElsewhere(threadId) {
    this.socket.send({ type: "unsubscribe", thread_id: threadId, data: { thread_id: threadId } });
    this.otherThread(threadId);
  },

  /** A message was refused: wait and repeat when the server says for how long, else hand it back. */
  notTaken(item, data) {
    if (data.retry_after) {
      setTimeout(() => this.inStep && this.memory.outbox.includes(item) && this.transmit(item), data.retry_after * 1000);
      this.composer.say(`${data.message} It is sent again in ${Math.ceil(data.retry_after)} seconds.`);
      return;
    }
    this.memory.take(item.id);
    const question = events.findQuestion(this.thread, { clientId: item.id });
    if (!question) return this.composer.say(data.message);
    Object.assign(question, { status: "refused", problem: data });
    announce(`Message not sent. ${data.message}`);
    this.change(question);
  },
});

/** What a screen reader hears of a message that waits for an answer. */
const QUEUED = {
  queue: "It waits for the answer before it",
  interrupt: "The answer before it is being stopped",
};

/** What a screen reader hears while the agent works. */
const SPEECH = {
  agent_started: () => "The agent is working",
  tool_executing: (data) => `Using ${data.tool.replaceAll("_", " ")}`,
  attempt_started: () => "The agent started again",
  approval_requested: (data) => `The agent asks whether it may use ${data.tool}. Approve or refuse in its answer`,
  approval_decided: (data) => approvalWords(data),
  agent_error: (data) => `Something went wrong. ${data.message || ""} ${data.fix || ""}`,
  agent_cancelled: (data, entry) => view.stateWords(entry),
};

function threadAddress(threadId) {
  return `${page.home}${threadId}/`;
}

function socketAddress() {
  const address = new URL(page.socket, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

store.regroup();
startDrawer();
new Chat().start();
