// What every page has: theme switch, menus, relative times, copying. Nothing about conversations belongs here.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const words = new Intl.RelativeTimeFormat("en-GB", { numeric: "auto" });
const exactFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** A moment in words, as people say it: "3 minutes ago". */
export function relative(date, now = new Date()) {
  const seconds = (date - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 45) return "just now";
  if (size < HOUR) return words.format(Math.round(seconds / MINUTE), "minute");
  if (size < DAY) return words.format(Math.round(seconds / HOUR), "hour");
  if (size < 7 * DAY) return words.format(Math.round(seconds / DAY), "day");
  return dayFormat.format(date);
}

/** Write relative text into every marked time, with the exact local and UTC time on hover. */
export function refreshTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-rel]")) {
    const date = new Date(element.dateTime);
    if (Number.isNaN(date.valueOf())) continue;
    const text = relative(date);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = `${exactFormat.format(date)} (${date.toISOString().slice(0, 19)}Z)`;
  }
}

/** Copy text and say so on the button for a moment. */
export async function copyText(text, button) {
  const done = await writeClipboard(text);
  const label = button.querySelector(".label") || button;
  if (button.dataset.label === undefined) button.dataset.label = label.textContent;
  label.textContent = done ? "Copied" : "Copying is blocked";
  clearTimeout(Number(button.dataset.timer));
  button.dataset.timer = setTimeout(() => (label.textContent = button.dataset.label), 1200);
  return done;
}

async function writeClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The older way, for pages that are not served over TLS. */
function copyBySelection(text) {
  const before = document.activeElement;
  const box = document.createElement("textarea");
  box.className = "visually-hidden";
  box.value = text;
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  before?.focus({ preventScroll: true });
  return done;
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  if (theme === "light" || theme === "dark") return theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function startThemeSwitch() {
  const button = document.querySelector("[data-theme-switch]");
  if (!button) return;
  const show = () => button.setAttribute("aria-pressed", String(isDark()));
  show();
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("netra.theme", theme);
    } catch {
      /* chosen for this page only */
    }
    show();
  });
}

/** Menus are details elements: close them on Escape and on a click elsewhere. */
function startMenus() {
  const open = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      menu.open = false;
      menu.querySelector("summary").focus();
      event.stopImmediatePropagation();
    }
  });
}

function startCopyButtons() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copyText(button.dataset.copy, button);
  });
}

startThemeSwitch();
startMenus();
startCopyButtons();
refreshTimes();
setInterval(refreshTimes, 15000);
