/**
 * Tracks of the past in pages of an hour: which are to be asked for, which are kept, and where a vehicle was by them. Holds no clock:
 * times are Unix milliseconds.
 *
 * A page is asked for when somebody looks at its hour, and not before, so that twelve hours cost no more than one until they are seen.
 */
import { positionAt, type Past } from './scrub'
import type { TrackPoint } from './types'

export const PAGE_MS = 3_600_000
/** A page begins so long before its hour: at the full hour, too, it is known where a vehicle came from. */
export const LEAD_MS = 120_000
/** A page that was asked for before its hour had passed, and what was late had come, is asked for anew after this. */
export const KEEP_MS = 300_000
/** What vehicles had recorded out of reach has come so long after the hour. */
const LATE_MS = 600_000
/** Points of all tracks of one hour, and of one track at the least and most: the more vehicles, the fewer of each. */
const POINTS_OF_HOUR = 240_000
const POINTS = { min: 120, max: 720 }
/** Points that are kept, some 50 MB: of more, the hours furthest from what is looked at are given up. */
export const POINTS_KEPT_MAX = 720_000

/** A page that is missing. */
export interface Wanted { id: string; page: number; from: number; until: number }

interface Page { points: readonly TrackPoint[]; askedAt: number }

/** The hour that a time is in. */
export function pageOf(time: number): number {
  return Math.floor(time / PAGE_MS)
}

/** Points that each of so many tracks of an hour may have. */
export function pointsEach(tracks: number): number {
  return Math.round(Math.max(POINTS.min, Math.min(POINTS.max, POINTS_OF_HOUR / Math.max(1, tracks))))
}

/** At most so many of `ids`: the one that is chosen, then those in view, then the others, each in their order. */
export function inOrder(ids: readonly string[], chosen: string | null, isInView: (id: string) => boolean, most: number): string[] {
  const near: string[] = chosen === null ? [] : [chosen]
  const far: string[] = []
  for (const id of ids) if (id !== chosen) (isInView(id) ? near : far).push(id)
  return [...near, ...far].slice(0, most)
}

export class Tracks {
  private readonly hours = new Map<number, Map<string, Page>>()
  private points = 0

  /** Pages that are to be asked for to show these vehicles at `time`, in their order; the hour before for whoever was silent since. */
  missing(ids: readonly string[], time: number, now: number): Wanted[] {
    const page = pageOf(time)
    const missing: Wanted[] = []
    const before: Wanted[] = []
    for (const id of ids) {
      const known = this.page(id, page)
      if (!known || isOld(known, page, now)) missing.push(wanted(id, page))
      const isSilent = known !== undefined && !(known.points[0] && known.points[0][0] <= time)
      if (isSilent && !this.page(id, page - 1)) before.push(wanted(id, page - 1))
    }
    return [...missing, ...before]
  }

  put(id: string, page: number, points: readonly TrackPoint[], now: number): void {
    let hour = this.hours.get(page)
    if (!hour) this.hours.set(page, (hour = new Map()))
    this.points += points.length - (hour.get(id)?.points.length ?? 0)
    hour.set(id, { points, askedAt: now })
  }

  /** Where the vehicle was; null if that is not known, or not yet. */
  at(id: string, time: number): Past | null {
    const page = pageOf(time)
    const here = this.page(id, page)
    const found = here ? positionAt(here.points, time) : null
    if (found) return found
    const before = this.page(id, page - 1)
    return here && before ? positionAt(before.points, time) : null
  }

  /** Gives up what is too much, as far as it is of other hours than those around `time`. */
  bound(time: number): void {
    const here = pageOf(time)
    const others = [...this.hours.keys()].filter((page) => Math.abs(page - here) > 1).sort((a, b) => Math.abs(b - here) - Math.abs(a - here))
    for (const page of others) {
      if (this.points <= POINTS_KEPT_MAX) return
      for (const { points } of this.hours.get(page)!.values()) this.points -= points.length
      this.hours.delete(page)
    }
  }

  /** Points that are kept. */
  size(): number {
    return this.points
  }

  private page(id: string, page: number): Page | undefined {
    return this.hours.get(page)?.get(id)
  }
}

function wanted(id: string, page: number): Wanted {
  return { id, page, from: page * PAGE_MS - LEAD_MS, until: (page + 1) * PAGE_MS }
}

function isOld({ askedAt }: Page, page: number, now: number): boolean {
  return askedAt < (page + 1) * PAGE_MS + LATE_MS && askedAt < now - KEEP_MS
}

/** Requests spread out: some at once, then so many a second. */
export class Pace {
  private left: number
  private at = -Infinity

  constructor(private readonly perS: number, private readonly atOnce: number) {
    this.left = atOnce
  }

  /** Takes a turn; gives the milliseconds until it has come. `now` is monotonic. */
  wait(now: number): number {
    if (this.at > -Infinity) this.left = Math.min(this.atOnce, this.left + ((now - this.at) / 1000) * this.perS)
    this.at = now
    this.left -= 1
    return this.left >= 0 ? 0 : (-this.left / this.perS) * 1000
  }
}
