// One way to ask the server: the session's token with every change, one shape of error, a way back to sign in.

export class Refused extends Error {
  constructor(status, error, retryAfter) {
    super(error?.message ?? "the server did not answer as it should");
    this.status = status;
    this.code = error?.code ?? "unknown";
    this.whatToDo = error?.what_to_do ?? "try again in a moment";
    this.retryAfterS = retryAfter;
  }
  get sentence() {
    return `${capital(this.message)}. ${capital(this.whatToDo)}.`;
  }
}

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
export const headers = { "X-CSRF-Token": token, Accept: "application/json" };

export async function ask(method, path, body) {
  const given = { method, headers: { ...headers }, credentials: "same-origin" };
  if (body !== undefined) {
    given.headers["Content-Type"] = "application/json";
    given.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, given);
  } catch {
    throw unreachable();
  }
  const text = await answer.text();
  return settled(answer.status, text, Number(answer.headers.get("Retry-After")));
}

/** Send files; `progress` hears the share that was sent, in [0, 1]. fetch cannot tell it. */
export function send(path, files, progress) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name);
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [key, value] of Object.entries(headers)) request.setRequestHeader(key, value);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      try {
        done(settled(request.status, request.responseText, Number(request.getResponseHeader("Retry-After"))));
      } catch (error) {
        fail(error);
      }
    });
    request.addEventListener("error", () => fail(unreachable()));
    request.addEventListener("abort", () => fail(unreachable()));
    request.send(form);
  });
}

function settled(status, text, retryAfter) {
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    body = null; // a proxy's own page
  }
  if (status >= 200 && status < 300) return body;
  if (status === 401) {
    const here = location.pathname + location.search;
    location.assign(`/login?ended=1&next=${encodeURIComponent(here)}`);
  }
  throw new Refused(status, body?.error, retryAfter || 0);
}

function unreachable() {
  return new Refused(0, { code: "unreachable", message: "the server cannot be reached", what_to_do: "check the network and try again" });
}

function capital(text) {
  return (text.charAt(0).toUpperCase() + text.slice(1)).replace(/\.$/, "");
}
