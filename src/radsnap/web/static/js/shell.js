// On every page: the service worker where the browser allows one, and the way out.
import { ask } from "./api.js";

if ("serviceWorker" in navigator && window.isSecureContext) {
  // A page behind a self-signed certificate is refused one. Nothing but the offline page depends on it.
  navigator.serviceWorker.register("/sw.js").catch(() => undefined);
}

document.querySelector("[data-logout]")?.addEventListener("click", async () => {
  await ask("DELETE", "/api/v1/session").catch(() => undefined);
  location.assign("/login");
});

// Times come in UTC; show them as this person's clock does.
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) time.textContent = clock.format(new Date(time.dateTime));
