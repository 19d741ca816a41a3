/** The order that is being written: stops are clicked on the map. */
import { reactive } from 'vue'

import { newKey } from '../../api/http'
import { DraftKey } from '../../core/draft-key'
import { STOPS_MAX } from '../../core/limits'

export interface DraftStop { lon: number; lat: number; from: string; until: string }

/** A new stop's window: from now, half an hour per stop, an hour and a half long. */
const WINDOW_MS = 90 * 60_000
const STEP_MS = 30 * 60_000

function local(ms: number): string {
  const date = new Date(Math.ceil(ms / 900_000) * 900_000)
  return `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`
}

class Drafts {
  customer = ''
  stops: DraftStop[] = []

  add(lon: number, lat: number): void {
    if (this.stops.length >= STOPS_MAX) return
    const from = Date.now() + this.stops.length * STEP_MS
    this.stops.push({ lon, lat, from: local(from), until: local(from + WINDOW_MS) })
  }

  remove(at: number): void {
    this.stops.splice(at, 1)
  }

  clear(): void {
    this.customer = ''
    this.stops = []
  }
}

export const drafts = reactive(new Drafts())
export const draftKey = new DraftKey(newKey)

/** "14:30" as a time of today, or of tomorrow where that is past by more than half a day. RFC 3339; null for an empty field. */
export function timeOf(text: string, now: number): string | null {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text)
  if (!match) return null
  const date = new Date(now)
  date.setHours(Number(match[1]), Number(match[2]), 0, 0)
  if (date.getTime() < now - 12 * 3600_000) date.setDate(date.getDate() + 1)
  return date.toISOString()
}
