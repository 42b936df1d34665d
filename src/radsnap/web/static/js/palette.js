// The colours of heat, as radsnap.reading.heatmaps has them: clear where cold, through red and orange to yellow.
const STOPS = [0, 0.35, 0.6, 0.85, 1];
const RED = [96, 176, 232, 255, 255];
const GREEN = [16, 32, 92, 184, 242];
const BLUE = [64, 56, 24, 40, 150];
const CLEAR_BELOW = 0.25;

/** 256 steps of RGBA. */
export const PALETTE = new Uint8ClampedArray(1024);
for (let step = 0; step < 256; step += 1) {
  const at = step / 255;
  const rise = Math.min(1, Math.max(0, (at - CLEAR_BELOW) / (1 - CLEAR_BELOW)));
  PALETTE.set([between(at, RED), between(at, GREEN), between(at, BLUE), 255 * rise ** 0.6], step * 4);
}

/** Colour grey pixels (RGBA of ImageData, heat in red) in place. */
export function colour(pixels) {
  for (let at = 0; at < pixels.length; at += 4) {
    const from = pixels[at] * 4;
    pixels[at] = PALETTE[from];
    pixels[at + 1] = PALETTE[from + 1];
    pixels[at + 2] = PALETTE[from + 2];
    pixels[at + 3] = PALETTE[from + 3];
  }
}

function between(at, values) {
  const next = Math.max(1, STOPS.findIndex((stop) => stop >= at));
  const share = (at - STOPS[next - 1]) / (STOPS[next] - STOPS[next - 1]);
  return values[next - 1] + share * (values[next] - values[next - 1]);
}
