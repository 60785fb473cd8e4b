/** Light or dark: as the system has it, until somebody says otherwise; remembered where the browser allows it. */

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const SIGNS: Record<Theme, string> = { auto: "◐", light: "☀", dark: "☾" };
const KEY = "bats-proxy theme";

export function startTheme(button: HTMLButtonElement): void {
  let theme = THEMES.find((one) => one === remembered()) ?? "auto";
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    button.textContent = SIGNS[theme];
    button.title = `Colours: ${theme === "auto" ? "as the system has them" : theme}`;
    button.ariaLabel = button.title;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember(theme);
    apply();
  });
  apply();
}

function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Without storage it holds for this visit.
  }
}
