// Keeps the inspector of a living execution up to date. Asks for a fragment every 2 to 5 seconds, draws
// only the parts that changed, rests while the tab is hidden, and ends with the execution.
(function () {
  const root = document.querySelector("[data-live]");
  if (!root) return;
  const url = root.dataset.live;
  const parts = document.getElementById("live-parts");
  const status = document.getElementById("live-status");
  const QUICK = 2000;
  const SLOW = 5000;
  const QUICK_FOR = 60000;
  const began = Date.now();
  let tag = "";
  let timer = 0;
  let over = false;
  let known = sources(parts);

  function sources(from) {
    return new Map([...from.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part.outerHTML]));
  }

  function interval() {
    return Date.now() - began < QUICK_FOR ? QUICK : SLOW;
  }

  function later(ms = interval()) {
    clearTimeout(timer);
    if (!over && !document.hidden) timer = setTimeout(ask, ms);
  }

  async function ask() {
    let response;
    try {
      response = await fetch(url, { headers: { "Netra-Background": "1", ...(tag ? { "If-None-Match": tag } : {}) }, redirect: "manual", cache: "no-store" });
    } catch {
      later(SLOW * 2);
      return;
    }
    if (response.status === 200) {
      tag = response.headers.get("ETag") || "";
      draw(await response.text());
    } else if (response.status !== 304) {
      over = response.status < 500; // signed out, or not allowed any more
    }
    if (response.headers.get("X-Netra-Terminal")) finish();
    later();
  }

  function draw(html) {
    const fragment = document.createElement("template");
    fragment.innerHTML = html;
    const fresh = sources(fragment.content);
    let before = null;
    for (const part of fragment.content.querySelectorAll("[data-part]")) {
      const name = part.dataset.part;
      const present = parts.querySelector(`:scope > [data-part="${name}"]`);
      if (!present) {
        if (before) before.after(part);
        else parts.prepend(part);
        before = part;
      } else if (known.get(name) !== fresh.get(name) && !inUse(present)) {
        present.replaceWith(part);
        before = part;
      } else {
        if (inUse(present)) fresh.set(name, known.get(name));
        before = present;
      }
    }
    for (const present of [...parts.children]) {
      if (!fresh.has(present.dataset.part)) present.remove();
    }
    known = fresh;
  }

  /* A part stays as it is while somebody writes in it, has it open, or has marked text in it. */
  function inUse(part) {
    if (part.querySelector("details[open]") || part.contains(document.activeElement)) return !over;
    const selection = getSelection();
    return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode));
  }

  function finish() {
    over = true;
    const head = parts.querySelector("[data-sentence]");
    status.textContent = head ? head.dataset.sentence : "";
  }

  document.addEventListener("visibilitychange", () => later(0));
  later();
})();
