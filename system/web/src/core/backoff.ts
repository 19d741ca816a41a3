/** Waits between attempts: doubling, with full jitter, bounded. Holds no clock and no random numbers. */
export interface BackoffLimits { firstMs: number; maxMs: number }

export class Backoff {
  private attempt = 0
  constructor(private readonly limits: BackoffLimits) {}

  /** How long to wait before the next attempt, `random` in [0, 1): between half and all of the doubled wait. */
  next(random: number): number {
    const full = Math.min(this.limits.maxMs, this.limits.firstMs * 2 ** this.attempt)
    this.attempt = Math.min(this.attempt + 1, 30)
    return full * (0.5 + random / 2)
  }

  /** It worked: the next failure waits from the beginning. */
  reset(): void {
    this.attempt = 0
  }
}
