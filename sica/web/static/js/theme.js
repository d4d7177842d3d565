/** Light and dark: the system's choice until somebody presses the button; then theirs, remembered. */

const KEY = "sica.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Storage may be forbidden, as in a file opened from disk; the choice then lasts as long as the page. */
function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

function remember(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

export const isDark = () => document.documentElement.dataset.theme === "dark";

function apply(theme) {
  document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange")); // canvases read their colours from the style sheet again
}

export function startTheme() {
  apply(remembered() ?? (system.matches ? "dark" : "light"));
  system.addEventListener("change", () => remembered() ?? apply(system.matches ? "dark" : "light"));
}

export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  remember(theme);
  apply(theme);
}

/** A colour of the style sheet, for a canvas. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
