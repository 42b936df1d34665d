// A job: several pictures sent in one go, and what the server tells while it reads them.
import { ask, send } from "./api.js";

const SILENCE_MS = 6000; // the first word comes at once, unless something on the way holds it back
const POLL_MS = 1000;
const PATIENT = 90; // polls that may go unheard one after the other: a phone between two networks

/** Send pictures as one job; `progress` hears the share that was sent, in [0, 1]. */
export function begin(files, progress) {
  return send("/api/v1/jobs", files, progress);
}

/** Tell each item of a job when its status changes, until all have ended. */
export async function watch(job, tell) {
  const known = new Map();
  const note = (item) => {
    if (known.get(item.index) === item.status) return;
    known.set(item.index, item.status);
    tell(item);
  };
  if (!(await listened(job, note))) await polled(job, note);
}

/** Listen to a job's events; false where none come: no EventSource, a proxy that holds them back, a line that stays cut. */
function listened(job, note) {
  if (!("EventSource" in window)) return Promise.resolve(false);
  return new Promise((done) => {
    const source = new EventSource(job.events_url);
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = undefined;
    };
    const end = (whole) => {
      heard();
      source.close();
      done(whole);
    };
    // the browser tries again and again by itself: only what is heard ends a silence
    const wait = () => { silence ??= setTimeout(end, SILENCE_MS, false); };
    const on = (name, take) => source.addEventListener(name, (event) => {
      heard();
      take(JSON.parse(event.data));
    });
    on("job", ({ items }) => items.forEach(note)); // also first after a cut line: nothing is missed
    on("item", note);
    on("done", ({ items }) => {
      items.forEach(note);
      end(true);
    });
    source.addEventListener("error", () => (source.readyState === EventSource.CLOSED ? end(false) : wait()));
    wait();
  });
}

async function polled(job, note) {
  for (let unheard = 0; ;) {
    try {
      const now = await ask("GET", job.url);
      unheard = 0;
      now.items.forEach(note);
      if (now.status === "done") return;
    } catch (error) {
      unheard += 1;
      if (error.status !== 0 || unheard > PATIENT) throw error;
    }
    await new Promise((go) => setTimeout(go, POLL_MS));
  }
}
