/**
 * How long the machine has slept. On most systems the page's monotonic clock stands still meanwhile, so that what was new before looks
 * new after it. Holds no clock: it is shown both.
 */

/** Less than this is no sleep, but a clock that was set right. */
export const SLEPT_MIN_MS = 5_000

export class SleepWatch {
  private ahead: number

  /** `wall` and `monotonic` milliseconds of the same moment. */
  constructor(wall: number, monotonic: number) {
    this.ahead = wall - monotonic
  }

  /** Milliseconds that the monotonic clock has missed since the last look; 0 if it has missed none. */
  look(wall: number, monotonic: number): number {
    const missed = wall - monotonic - this.ahead
    this.ahead = wall - monotonic
    return missed > SLEPT_MIN_MS ? missed : 0
  }
}
