// The phone's camera, for every page that takes a picture. No dependency; works without any of the newer
// interfaces, then says so and leaves the page to its file input.
//
//   const camera = new Camera();
//   camera.addEventListener("state", (event) => show(event.detail.state, event.detail.reason));
//   if (await camera.start(video, { facing: "environment" })) { ... }
//   const blob = await camera.still();      // Blob (JPEG) or null: use the file input
//
// States: off, asking, live, lost (the stream ended by itself), refused, absent, insecure, failed.

export class Camera extends EventTarget {
  #video = null;
  #stream = null;
  #track = null;
  #lock = null;
  #wanted = false;
  #state = "off";

  constructor() {
    super();
    // A wake lock ends when the page is hidden; take it again when it is back.
    document.addEventListener("visibilitychange", () => {
      if (this.#wanted && document.visibilityState === "visible") this.wakeLock();
    });
  }

  get state() {
    return this.#state;
  }

  /** What the camera is, as the browser tells: { label, width, height, frameRate, facing }. */
  get settings() {
    if (!this.#track) return null;
    const settings = this.#track.getSettings?.() ?? {};
    return {
      label: this.#track.label ?? "",
      width: settings.width ?? this.#video?.videoWidth ?? 0,
      height: settings.height ?? this.#video?.videoHeight ?? 0,
      frameRate: settings.frameRate ?? null,
      facing: settings.facingMode ?? null,
    };
  }

  /** Whether this browser can torch: known after start. */
  get hasTorch() {
    return Boolean(this.#capabilities().torch);
  }

  /** Show the camera in a <video>; true when it is live. Never throws: the state says what is wrong. */
  async start(video, { facing = "environment", width = 4096, height = 3072 } = {}) {
    this.stop();
    this.#video = video;
    if (!window.isSecureContext) return this.#is("insecure", "The camera needs a secure page (https).");
    if (!navigator.mediaDevices?.getUserMedia) return this.#is("absent", "This browser offers no camera.");
    this.#is("asking");
    try {
      // ideal, not exact: a phone without such a camera gives the one it has
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: { ideal: facing }, width: { ideal: width }, height: { ideal: height } },
      });
    } catch (error) {
      if (error.name === "NotAllowedError") return this.#is("refused", "The camera was not allowed.");
      if (error.name === "NotFoundError") return this.#is("absent", "No camera was found.");
      return this.#is("failed", `The camera did not start (${error.name}).`);
    }
    [this.#track] = this.#stream.getVideoTracks();
    this.#track.addEventListener("ended", () => {
      if (this.#state === "live") this.#is("lost", "The camera was taken away; start it again.");
    });
    video.srcObject = this.#stream;
    video.muted = true;
    video.playsInline = true; // without it an iPhone opens its own player
    try {
      await video.play();
    } catch (error) {
      if (error.name !== "AbortError") {
        this.stop();
        return this.#is("failed", `The preview did not start (${error.name}).`);
      }
    }
    await this.#hold();
    return this.#is("live");
  }

  /** Switch the torch; false where there is none. */
  async torch(on) {
    if (!this.hasTorch) return false;
    return this.#apply({ torch: Boolean(on) });
  }

  /** Hold focus and exposure as they are now ("locked"), or let them go ("continuous"). What was done. */
  async lock(on = true) {
    const able = this.#capabilities();
    const done = {};
    for (const mode of ["focusMode", "exposureMode", "whiteBalanceMode"]) {
      const value = on ? ["manual", "none"].find((name) => able[mode]?.includes(name)) : "continuous";
      if (value && able[mode]?.includes(value)) done[mode] = await this.#apply({ [mode]: value });
    }
    return done;
  }

  /** Take a still: a Blob of a JPEG in the camera's full resolution, or null: use the file input. */
  async still({ quality = 0.95 } = {}) {
    if (this.#state !== "live") return null;
    return (await this.#photograph()) ?? (await this.#frame(quality));
  }

  /** Keep the screen awake; false where the browser does not offer it. */
  async wakeLock(on = true) {
    this.#wanted = on;
    if (!on) {
      await this.#lock?.release().catch(() => undefined);
      this.#lock = null;
      return false;
    }
    try {
      this.#lock = (await navigator.wakeLock?.request("screen")) ?? null;
    } catch {
      this.#lock = null; // battery saver, or a page that is hidden
    }
    return this.#lock !== null;
  }

  /** Let the camera go. */
  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#video) this.#video.srcObject = null;
    this.#stream = this.#track = null;
    if (this.#state !== "off") this.#is("off");
  }

  async #photograph() {
    if (typeof ImageCapture === "undefined") return null;
    try {
      const capture = new ImageCapture(this.#track);
      const blob = await within(8000, capture.takePhoto());
      return blob?.size > 0 ? blob : null;
    } catch {
      return null; // several phones promise it and fail: the video frame serves
    }
  }

  async #frame(quality) {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!width || !height) return null;
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d", { alpha: false }).drawImage(this.#video, 0, 0, width, height);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
  }

  async #hold() {
    const able = this.#capabilities();
    if (able.focusMode?.includes("continuous")) await this.#apply({ focusMode: "continuous" });
  }

  #capabilities() {
    return this.#track?.getCapabilities?.() ?? {};
  }

  async #apply(wish) {
    try {
      await this.#track.applyConstraints({ advanced: [wish] });
      return true;
    } catch {
      return false; // offered, yet refused: the picture can be taken all the same
    }
  }

  #is(state, reason = "") {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, reason } }));
    return state === "live";
  }
}

function within(ms, promise) {
  return Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error("late")), ms))]);
}
