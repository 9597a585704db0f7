// Keeps one WebSocket alive: connects, waits, pings, gives up when told to. Knows nothing of threads or pages.

const PROTOCOL = "netra.v1";
const FIRST_WAIT = 400;
const LONGEST_WAIT = 15000;
const PING_EVERY = 25000;
const SILENCE_MAX = 45000;
const ACK_EVERY = 1000;
const STEADY_AFTER = 5000;

/** Whether a close code asks us to stay away. 4408 and 4429 only ask us to wait. */
export function isFinal(code) {
  return code === 1008 || (code >= 4400 && code <= 4499 && code !== 4408 && code !== 4429);
}

/** Full jitter: anywhere between nothing and the doubled wait. */
export function waitBefore(attempt, random = Math.random) {
  return random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** attempt);
}

export class ChatSocket {
  /** `handlers`: ready(hello), frame(frame), waiting({delay, error}), closed({code, error}). */
  constructor(url, handlers) {
    this.url = url;
    this.handlers = handlers;
    this.socket = null;
    this.ready = false;
    this.stopped = false;
    this.attempt = 0;
    this.window = null;
    this.unconfirmed = 0;
    this.acks = new Map();
    this.error = null;
    this.watchPage();
    setInterval(() => this.beat(), 5000);
  }

  connect() {
    clearTimeout(this.retryTimer);
    if (this.socket || this.stopped) return;
    this.error = null;
    const socket = new WebSocket(this.url, [PROTOCOL]);
    this.socket = socket;
    this.heardAt = this.pingedAt = Date.now();
    socket.onmessage = (event) => socket === this.socket && this.receive(event.data);
    socket.onclose = (event) => socket === this.socket && this.lost(event.code);
  }

  /** Try at once, also after a refusal that was final. */
  retryNow() {
    this.stopped = false;
    this.connect();
  }

  send(frame) {
    if (!this.ready || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  /** Note that everything up to `seq` was shown; told to the server at most once a second. */
  ack(threadId, seq) {
    this.acks.set(threadId, Math.max(seq, this.acks.get(threadId) || 0));
    this.ackTimer ??= setTimeout(() => this.flushAcks(), ACK_EVERY);
  }

  flushAcks() {
    clearTimeout(this.ackTimer);
    this.ackTimer = null;
    if (!this.ready) return;
    for (const [threadId, seq] of this.acks) {
      this.send({ type: "ack", thread_id: threadId, data: { thread_id: threadId, seq } });
      this.unconfirmed = 0;
    }
    this.acks.clear();
  }

  receive(text) {
    this.heardAt = Date.now();
    this.countBytes(text);
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame.type === "pong") return;
    if (frame.type === "connection_established") this.opened(frame.data || {});
    else {
      this.error = frame.type === "error" && !frame.id ? frame.data : null;
      this.handlers.frame(frame);
    }
  }

  opened(hello) {
    this.ready = true;
    this.openedAt = Date.now();
    this.window = hello.limits?.window ?? null;
    this.unconfirmed = 0;
    this.handlers.ready(hello);
  }

  /** The server stops sending when its window is full, so answer well before: a ping counts too. */
  countBytes(text) {
    this.unconfirmed += text.length * 2;
    if (!this.window || this.unconfirmed < this.window / 4) return;
    if (this.acks.size) this.flushAcks();
    else this.ping();
  }

  ping() {
    this.pingedAt = Date.now();
    if (this.send({ type: "ping", data: {} })) this.unconfirmed = 0;
  }

  beat() {
    if (!this.socket) return;
    const now = Date.now();
    if (now - this.heardAt > SILENCE_MAX) this.drop();
    else if (this.ready && now - this.pingedAt >= PING_EVERY - 2500) this.ping();
  }

  /** Leave a connection that went silent, without waiting for its close. */
  drop() {
    const socket = this.socket;
    this.lost(1006);
    socket?.close();
  }

  lost(code) {
    if (this.ready && Date.now() - this.openedAt > STEADY_AFTER) this.attempt = 0;
    this.socket = null;
    this.ready = false;
    this.acks.clear();
    if (isFinal(code)) {
      this.stopped = true;
      this.handlers.closed({ code, error: this.error });
      return;
    }
    const asked = (this.error?.retry_after || 0) * 1000;
    const slow = code === 4408 || code === 4429 ? 1000 : 0;
    const delay = asked + slow + waitBefore(this.attempt);
    this.attempt += 1;
    this.handlers.waiting({ delay, error: this.error });
    this.retryTimer = setTimeout(() => this.connect(), delay);
  }

  watchPage() {
    const wake = () => !this.socket && !this.stopped && this.connect();
    addEventListener("online", wake);
    addEventListener("pageshow", wake);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.beat();
      wake();
    });
  }
}
