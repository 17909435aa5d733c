// Dark or light: the system's choice until the reader makes another, which this browser remembers.

const KEY = "shoal-theme";
const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  return localStorage.getItem(KEY);
}

export function isDark() {
  return (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
}

function apply() {
  const wanted = chosen();
  if (wanted) root.dataset.theme = wanted;
  else delete root.dataset.theme;
  const button = document.getElementById("theme");
  if (button) {
    button.textContent = isDark() ? "☀" : "☾";
    const label = `Switch to the ${isDark() ? "light" : "dark"} theme`;
    button.setAttribute("aria-label", label);
    button.title = label;
  }
  dispatchEvent(new Event("shoal-theme"));
}

document.getElementById("theme")?.addEventListener("click", () => {
  localStorage.setItem(KEY, isDark() ? "light" : "dark");
  apply();
});
dark.addEventListener("change", apply);
apply();

/** What a colour variable is now, for a canvas; `own`: where the reader's few colours replace all others too. */
export function colour(name, own = false) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  if (own) probe.style.forcedColorAdjust = "none";
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
