// The box in which a message is written: keys, drafts, length, the choice of agent. It sends nothing itself.

import { countPoints } from "./events.js";

const form = document.querySelector(".composer");
const box = form.querySelector("textarea");
const count = form.querySelector(".composer-count");
const notice = form.querySelector(".composer-notice");
const picker = form.querySelector("select");
const send = form.querySelector(".send");
const stop = form.querySelector(".stop");
const invitation = box.placeholder;
/** What becomes of the next message while an answer is being written, by the agent's policy. */
const WHILE_BUSY = {
  queue: "Your next message waits for this answer",
  reject: "This agent takes one question at a time",
  interrupt: "Your next message stops this answer",
};
const numbers = new Intl.NumberFormat("en-GB");

export class Composer {
  /** `on`: send({text, agent}), stop(). */
  constructor({ memory, threadId, limit, on }) {
    Object.assign(this, { memory, threadId, limit, on });
    box.value = memory.draft(threadId);
    if (picker && memory.agent()) picker.value = memory.agent();
    if (picker && picker.selectedIndex < 0) picker.selectedIndex = 0;
    form.addEventListener("submit", (event) => this.submit(event));
    box.addEventListener("input", () => this.changed());
    box.addEventListener("keydown", (event) => this.key(event));
    picker?.addEventListener("change", () => memory.saveAgent(picker.value));
    stop.addEventListener("click", () => on.stop());
    this.changed();
    if (matchMedia("(hover: hover)").matches) box.focus({ preventScroll: true });
  }

  changed() {
    this.memory.saveDraft(this.threadId, box.value);
    this.showLength();
    if (box.value) this.say("");
    fit();
  }

  /** Counting is by code points, as the server counts; cheap while far from the limit. */
  showLength() {
    const long = box.value.length > this.limit * 0.8;
    const points = long ? countPoints(box.value) : 0;
    this.over = points > this.limit;
    count.textContent = long ? `${numbers.format(points)} of ${numbers.format(this.limit)}` : "";
    count.classList.toggle("bad", this.over);
    box.setAttribute("aria-invalid", String(this.over));
  }

  key(event) {
    // 229 is what some browsers still report for the key that ends a composition.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    form.requestSubmit();
  }

  submit(event) {
    event.preventDefault();
    const text = box.value;
    if (!text.trim()) return this.say("Write a message first.");
    if (this.over) return this.say("This message is too long. Shorten it, or send it in parts.");
    this.on.send({ text, agent: this.agent() });
    this.fill("");
    box.focus();
  }

  agent() {
    return picker?.value || null;
  }

  /** Of the agent that is asked next; the first one is who answers by default. */
  whileBusy() {
    const options = [...document.querySelectorAll("#agent-titles option")];
    const asked = options.find((option) => option.value === this.agent()) || options[0];
    return WHILE_BUSY[asked?.dataset.whileBusy] || WHILE_BUSY.queue;
  }

  fill(text) {
    box.value = text;
    this.changed();
  }

  /** Give words back that were not sent, without losing what is being written. */
  giveBack(text) {
    this.fill(box.value.trim() ? `${text}\n\n${box.value}` : text);
    box.focus();
  }

  moveTo(threadId) {
    this.memory.saveDraft(this.threadId, "");
    this.threadId = threadId;
    this.memory.saveDraft(threadId, box.value);
  }

  say(text) {
    notice.textContent = text;
    notice.hidden = !text;
  }

  showActivity({ active, stopping }) {
    box.placeholder = active ? this.whileBusy() : invitation;
    if (stop.hidden === !active && stop.disabled === stopping) return;
    const focused = document.activeElement === stop;
    stop.hidden = !active;
    stop.disabled = stopping;
    stop.querySelector(".label").textContent = stopping ? "Stopping" : "Stop";
    if (focused && (!active || stopping)) box.focus();
  }

  allow(possible) {
    send.disabled = !possible;
  }
}

/** As high as the text, up to what the style sheet allows. */
function fit() {
  box.rows = 1;
  const line = parseFloat(getComputedStyle(box).lineHeight) || 24;
  box.rows = Math.max(1, Math.min(10, Math.floor((box.scrollHeight - 8) / line)));
}
