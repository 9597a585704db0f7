// The frame around a talk: banner, scrolling, drawer of threads, spoken status. Knows nothing of frames or entries.

const NEAR_END = 64;
const BANNER_PATIENCE = 700;

const status = document.getElementById("status");

/** Say one sentence to screen readers. */
export function announce(text) {
  status.textContent = text;
}

/** Follows the newest text until the reader scrolls up; growing content alone never lets go. */
export class Scroller {
  constructor() {
    this.box = document.querySelector(".scroll");
    this.button = document.querySelector(".newest");
    this.pinned = true;
    this.top = 0;
    this.box.addEventListener("scroll", () => this.look(), { passive: true });
    this.button.addEventListener("click", () => this.jump());
    new ResizeObserver(() => this.follow()).observe(this.box);
  }

  look() {
    const { scrollHeight, scrollTop, clientHeight } = this.box;
    const wentUp = scrollTop < this.top - 1;
    this.top = scrollTop;
    this.pinned = scrollHeight - scrollTop - clientHeight < NEAR_END || (this.pinned && !wentUp);
    this.button.hidden = this.pinned;
  }

  follow() {
    if (this.pinned) this.box.scrollTop = this.box.scrollHeight;
    else this.look();
  }

  toEnd() {
    this.pinned = true;
    this.button.hidden = true;
    this.follow();
  }

  jump() {
    this.toEnd();
    document.getElementById("text").focus({ preventScroll: true });
  }
}

/** Tells the truth about the connection, but not about hiccups too short to matter. */
export class Banner {
  constructor(retry) {
    this.box = document.querySelector(".banner");
    this.text = this.box.querySelector(".banner-text");
    this.act = this.box.querySelector(".banner-act");
    this.link = this.box.querySelector(".banner-link");
    this.act.addEventListener("click", () => (this.reload ? location.reload() : retry()));
  }

  rest() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  hide() {
    this.rest();
    if (!this.box.hidden && this.lost) announce("Connected again");
    this.box.hidden = true;
    this.lost = false;
  }

  show(text, { act = "", link = false } = {}) {
    this.rest();
    if (this.text.textContent !== text) this.text.textContent = text;
    this.act.textContent = act;
    this.act.hidden = !act;
    this.link.hidden = !link;
    this.box.hidden = false;
  }

  waiting(delay, { error, busy }) {
    const why = error?.message || "The connection is lost.";
    const calm = busy ? " Your answer keeps going and will appear here." : " Nothing you wrote is lost.";
    const say = () => {
      this.lost = true;
      this.show(`${why}${calm} Connecting again.`, { act: "Try now" });
    };
    if (!this.box.hidden) say();
    else this.timer ??= setTimeout(say, BANNER_PATIENCE);
  }

  /** The server asked us to stay away; say why and what can be done. */
  refused(code, error) {
    const [text, options] = REFUSALS[code] || [error?.message || "The server closed the connection.", { act: "Try again" }];
    this.reload = Boolean(options.reload);
    this.link.href = `${document.body.dataset.login}?next=${encodeURIComponent(location.pathname)}`;
    this.show(text, options);
  }

  stale() {
    this.reload = true;
    this.show("This page is behind and cannot catch up by itself.", { act: "Reload the page" });
  }
}

const REFUSALS = {
  4400: ["This page and the server no longer understand each other.", { act: "Reload the page", reload: true }],
  4401: ["You are signed out. Sign in to go on; what you wrote is kept.", { link: true }],
  4403: ["You cannot open this organisation. Choose another one, or ask its owner.", {}],
  4409: ["Too many chat windows are open. Close one, then try again.", { act: "Try again" }],
};

/** On narrow screens the list of threads is a drawer. */
export function startDrawer() {
  const drawer = document.getElementById("threads");
  const shade = document.querySelector(".shade");
  const opener = document.querySelector(".drawer-open");
  const narrow = matchMedia("(max-width: 800px)");
  const main = document.getElementById("main");

  function set(shown) {
    const open = shown && narrow.matches;
    drawer.classList.toggle("drawer-shown", open);
    drawer.inert = narrow.matches && !open;
    main.inert = open;
    shade.hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
  }

  function close() {
    if (!drawer.classList.contains("drawer-shown")) return;
    set(false);
    opener.focus();
  }

  opener.addEventListener("click", () => {
    set(true);
    drawer.querySelector("a").focus();
  });
  drawer.querySelector(".drawer-close").addEventListener("click", close);
  shade.addEventListener("click", close);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !drawer.classList.contains("drawer-shown")) return;
    event.stopImmediatePropagation();
    close();
  });
  narrow.addEventListener("change", () => set(false));
  set(false);
}
