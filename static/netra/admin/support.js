// Counts down what a grant leaves, and hides what it opened when it ends. The server hides it anyway.
(function () {
  let over = false;

  function lasting(seconds) {
    if (seconds < 60) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  }

  function tick() {
    let ended = false;
    for (const clock of document.querySelectorAll("[data-until]")) {
      const left = Math.ceil((new Date(clock.dataset.until) - Date.now()) / 1000);
      clock.textContent = lasting(Math.max(0, left));
      ended ||= left <= 0;
    }
    if (ended && !over) end();
  }

  function end() {
    over = true;
    for (const part of document.querySelectorAll("[data-under-grant]")) part.remove();
    for (const words of document.querySelectorAll("[data-grant-over]")) words.hidden = false;
    for (const status of document.querySelectorAll("[data-grant-status]")) status.textContent = "The grant has ended.";
  }

  setInterval(tick, 1000);
  tick();
  // A page that the browser kept shows nothing after the end either.
  window.addEventListener("pageshow", tick);
})();
