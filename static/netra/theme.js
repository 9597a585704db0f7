// Sets the colour theme before the first paint. Loaded without defer; anything that can wait belongs in page.js.
(function () {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const chosen = localStorage.getItem("netra.theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    /* storage may be closed; the profile's theme stands */
  }
})();
