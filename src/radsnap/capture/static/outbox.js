// Photos that were taken and not yet acknowledged: kept in IndexedDB, so that a reload loses none; in memory
// where the browser has no IndexedDB (private windows). Sent one after another, again and again until answered.

const NAME = "radsnap-capture";
const STORE = "photos";

function opened() {
  return new Promise((done) => {
    try {
      const asked = indexedDB.open(NAME, 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "ticket" });
      asked.onsuccess = () => done(asked.result);
      asked.onerror = asked.onblocked = () => done(null);
    } catch {
      done(null);
    }
  });
}

function finished(request) {
  return new Promise((done, fail) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
}

async function hash(bytes) {
  if (!crypto.subtle) return "";
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox extends EventTarget {
  #kept = new Map();
  #db = null;
  #wake = () => undefined;

  /** Open it with what an earlier visit left; then sending goes on by itself. */
  async open() {
    this.#db = await opened();
    if (this.#db) {
      const left = await finished(this.#db.transaction(STORE).objectStore(STORE).getAll()).catch(() => []);
      for (const photo of left) this.#kept.set(photo.ticket, photo);
    }
    this.#send();
    return this;
  }

  get size() {
    return this.#kept.size;
  }

  has(ticket) {
    return this.#kept.has(ticket);
  }

  /** Keep a photo and send it. Bytes, not a Blob: some browsers lose Blobs of IndexedDB. */
  async add(ticket, blob) {
    const bytes = await blob.arrayBuffer();
    const photo = { ticket, bytes, type: blob.type, sha256: await hash(bytes) };
    this.#kept.set(ticket, photo);
    try {
      const write = this.#db?.transaction(STORE, "readwrite").objectStore(STORE).put(photo);
      if (write) await finished(write);
    } catch {
      // full or closed: memory serves until it is sent
    }
    this.#said();
    this.#wake();
  }

  async #send() {
    for (let wait = 250; ; ) {
      const [photo] = this.#kept.values();
      if (!photo) {
        await new Promise((done) => (this.#wake = done));
        continue;
      }
      const outcome = await this.#sent(photo);
      if (outcome) {
        wait = 250;
        this.#kept.delete(photo.ticket);
        await this.#forget(photo.ticket);
        this.dispatchEvent(new CustomEvent("answer", { detail: { ticket: photo.ticket, ...outcome } }));
        this.#said();
        continue;
      }
      this.#said(`not sent, trying again in ${Math.ceil(wait / 1000)} s`);
      await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, 8000);
    }
  }

  // The server's answer, or null to try again: only what it answered itself ends the matter.
  async #sent(photo) {
    try {
      const answer = await fetch(`/phone/photos?ticket=${photo.ticket}&sha256=${photo.sha256}`, {
        method: "POST",
        headers: { "Content-Type": photo.type || "application/octet-stream" },
        body: photo.bytes,
        signal: AbortSignal.timeout(60000),
      });
      if (answer.ok) return await answer.json();
      if (answer.status === 401) {
        location.assign("/pair");
        return null;
      }
      const told = await answer.json();
      const final = ["no_photo", "too_large", "no_showing"].includes(told.error?.code);
      return final ? { state: "refused", said: told.error.message } : null;
    } catch {
      return null;
    }
  }

  async #forget(ticket) {
    try {
      const write = this.#db?.transaction(STORE, "readwrite").objectStore(STORE).delete(ticket);
      if (write) await finished(write);
    } catch {
      // sent once more after a reload: the server knows it by its hash
    }
  }

  #said(trouble = "") {
    this.dispatchEvent(new CustomEvent("change", { detail: { size: this.size, trouble } }));
  }
}
