/** Predicted arrivals, as pages tell of them. Pure. */
import type { Arrival, Arrivals } from './types'

/** Older predictions are not shown: nobody knows whether they still hold. */
export const PREDICTION_MAX_AGE_MS = 3 * 60_000

export function byStop(answer: Arrivals | null): Map<string, Arrival> {
  return new Map((answer?.items ?? []).map((arrival) => [arrival.stop, arrival]))
}

/** Whole minutes after the window; 0 while it will be kept. */
export function lateMinutes(arrival: Arrival | undefined): number {
  return arrival?.late_s ? Math.max(1, Math.round(arrival.late_s / 60)) : 0
}
