/** How fast frames come and what our part of them costs. Pure but for the numbers that it is given. */

/** Frames further apart than this are slow: then vehicles are drawn on ticks only. */
export const SLOW_FRAME_MS = 25
/** How long we draw on ticks before frames get another chance. */
const RETRY_AFTER_MS = 8_000
const KEPT = 1200

export class FrameMeter {
  private readonly script = new Float32Array(KEPT)
  private frames = 0
  private lastAt = -Infinity
  private average = 16
  private slowUntil = -Infinity

  /** A frame was drawn at `now`, and our script in it took `scriptMs`. */
  done(now: number, scriptMs: number): void {
    const gap = now - this.lastAt
    this.lastAt = now
    this.script[this.frames++ % KEPT] = scriptMs
    // A pause is no slow frame.
    if (gap < 200) this.average += (gap - this.average) * 0.1
    if (this.average > SLOW_FRAME_MS && now > this.slowUntil) {
      this.slowUntil = now + RETRY_AFTER_MS
      this.average = 16
    }
  }

  slow(now: number): boolean {
    return now < this.slowUntil
  }

  /** Frames so far, and the script time of the newest ones in milliseconds. */
  stats(): { frames: number; p50: number; p95: number; max: number } {
    const kept = Array.from(this.script.subarray(0, Math.min(this.frames, KEPT))).sort((a, b) => a - b)
    const at = (share: number): number => kept[Math.min(kept.length - 1, Math.floor(kept.length * share))] ?? 0
    return { frames: this.frames, p50: at(0.5), p95: at(0.95), max: at(1) }
  }
}
