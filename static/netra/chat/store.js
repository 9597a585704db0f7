// What the page remembers in this tab (drafts, messages not yet accepted) and the list of threads beside the talk.
// Nothing of a conversation's content belongs here but the person's own unsent words.

const list = () => document.querySelector(".threads-list");
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric" });
const weekdayFormat = new Intl.DateTimeFormat("en-GB", { weekday: "long" });

function read(key, fallback) {
  try {
    return JSON.parse(sessionStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    /* full or closed storage: the page works, it only forgets */
  }
}

/** A random UUID, also where the page is not served over TLS. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Drafts and outbox of one person in one organisation, kept for this tab: whoever signs in next has others. */
export class Memory {
  constructor(organisation, person) {
    this.prefix = `netra.${organisation}.${person}.`;
    this.outbox = read(`${this.prefix}outbox`, []);
  }

  draft(threadId) {
    return read(`${this.prefix}draft.${threadId || "new"}`, "");
  }

  saveDraft(threadId, text) {
    write(`${this.prefix}draft.${threadId || "new"}`, text || null);
  }

  agent() {
    return read(`${this.prefix}agent`, null);
  }

  saveAgent(name) {
    write(`${this.prefix}agent`, name);
  }

  /** Keep a message until the server has it. */
  put(item) {
    this.outbox.push(item);
    this.saveOutbox();
  }

  take(id) {
    const item = this.outbox.find((one) => one.id === id);
    this.outbox = this.outbox.filter((one) => one.id !== id);
    this.saveOutbox();
    return item;
  }

  /** The thread of the first message is known now: later ones written on the same page follow it. */
  bindNew(threadId) {
    for (const item of this.outbox) item.threadId ??= threadId;
    this.saveOutbox();
  }

  saveOutbox() {
    write(`${this.prefix}outbox`, this.outbox.length ? this.outbox : null);
  }

  /** True once in ten seconds: keeps a page that cannot catch up from reloading without end. */
  mayReload() {
    const last = read(`${this.prefix}reloaded`, 0);
    if (Date.now() - last < 10000) return false;
    write(`${this.prefix}reloaded`, Date.now());
    return true;
  }
}

/* --- the list of threads -------------------------------------------------------------------- */

/** "Today", "Yesterday", a weekday, or a date, in the reader's own time zone. */
export function dayName(date, now = new Date()) {
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
  const days = Math.round((midnight(now) - midnight(date)) / 86400000);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return days < 7 ? weekdayFormat.format(date) : dayFormat.format(date);
}

/** Sort all items, newest first, and group them anew by local day. */
export function regroup(root = list()) {
  const items = [...root.querySelectorAll(".thread")];
  items.sort((a, b) => new Date(b.dataset.at) - new Date(a.dataset.at));
  const groups = new Map();
  for (const item of items) {
    const name = dayName(new Date(item.dataset.at));
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  const focused = document.activeElement;
  const sections = [...groups].map(([name, members], index) => daySection(name, members, index));
  if (sections.length) root.replaceChildren(...sections);
  if (root.contains(focused)) focused.focus();
}

function daySection(name, members, index) {
  const section = document.createElement("section");
  const title = document.createElement("p");
  const group = document.createElement("ul");
  section.className = "day";
  title.className = "day-name";
  title.id = `day-${index}`;
  title.textContent = name;
  group.setAttribute("aria-labelledby", title.id);
  group.append(...members);
  section.append(title, group);
  return section;
}

export function findItem(threadId) {
  return list().querySelector(`.thread[data-id="${CSS.escape(threadId)}"]`);
}

/** Put a thread on top of the list, adding it if it is new. `mark`: show that it has news. */
export function touchThread(threadId, { href, title, state, current = false, mark = false } = {}) {
  const item = findItem(threadId) || newItem(threadId, href);
  item.dataset.at = new Date().toISOString();
  if (title) item.querySelector(".thread-title").textContent = title;
  if (current) markCurrent(item);
  markNews(item, mark);
  if (state) item.querySelectorAll(".mark, .mark-words").forEach((element) => element.remove());
  regroup();
  return item;
}

function newItem(threadId, href) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  const title = document.createElement("span");
  item.className = "thread";
  item.dataset.id = threadId;
  link.href = href;
  title.className = "thread-title";
  title.textContent = "New conversation";
  link.append(title);
  item.append(link);
  list().append(item);
  return item;
}

function markCurrent(item) {
  for (const link of document.querySelectorAll(".threads [aria-current]")) link.removeAttribute("aria-current");
  item.querySelector("a").setAttribute("aria-current", "page");
}

function markNews(item, mark) {
  item.querySelector(".thread-news")?.remove();
  if (!mark) return;
  const news = document.createElement("span");
  news.className = "thread-news";
  news.textContent = "New";
  item.querySelector("a").append(news);
}

/** Ask the API what a thread is called; null when it does not say. */
export async function fetchTitle(api, threadId, organisation) {
  try {
    const headers = { Accept: "application/json", "Netra-Organisation": organisation };
    const answer = await fetch(`${api}threads/${threadId}/`, { headers });
    return answer.ok ? (await answer.json()).title || null : null;
  } catch {
    return null;
  }
}
