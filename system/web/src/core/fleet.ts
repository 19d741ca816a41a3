/**
 * Where every vehicle is, in typed arrays, and the floats that the graphics card reads. Pure: no Vue, no DOM, no clock.
 * Times are monotonic milliseconds of the page, but for `fixTimeMs`, which is the vehicle's own.
 *
 * Invariant: a vehicle's fix never gives way to an older one, in whatever order they come.
 */
import { AGE_MAX_MS, STATUSES } from './binary'
import { latOf, lonOf, mercatorX, mercatorY } from './mercator'
import type { Engine, LonLat, Status, VehicleFeature } from './types'

/** Floats per vehicle in `gpu`: x0 y0 x1 y1 start duration heading0 heading1 speed status flags spare. */
export const STRIDE = 12
const X0 = 0
const X1 = 2
const START = 4
const HEADING0 = 6
const STATUS = 9
const FLAGS = 10

export const FLAG_HIDDEN = 1
export const FLAG_SELECTED = 2
export const FLAG_HOVERED = 4

export const SILENT_CODE = STATUSES.indexOf('silent')
/** Without a fix for so long a vehicle is silent, whatever it said last. */
export const SILENT_AFTER_MS = 60_000
/** A marker glides to its new place within these bounds; past JUMP_M or after a longer pause it jumps. */
const GLIDE_MIN_MS = 150
const GLIDE_MAX_MS = 6_000
const PAUSE_MS = 30_000
/** 500 m as a share of the world at 60 degrees north: further than any van drives between two fixes. */
const JUMP = 500 / 20_000_000

export interface Fix {
  id: string
  lon: number
  lat: number
  speedKmh: number
  headingDeg: number
  status: number
  ageMs: number
  fixTimeMs: number
}

export class Fleet {
  count = 0
  ids: string[] = []
  groups: (string | null)[] = []
  /** Mercator, full precision. */
  x = new Float64Array(0)
  y = new Float64Array(0)
  fixTimeMs = new Float64Array(0)
  /** When, on the page's clock, the fix was made. */
  seenAt = new Float64Array(0)
  speedKmh = new Float32Array(0)
  headingDeg = new Float32Array(0)
  status = new Uint8Array(0)
  gpu = new Float32Array(0)
  /** Engine values of vehicles that were asked for. */
  readonly engines = new Map<string, Engine>()
  readonly styles = new Map<string, string>()
  private readonly index = new Map<string, number>()
  /** What floats are relative to: float32 holds mercator coordinates to two metres only. */
  originX = 0
  originY = 0
  private hasOrigin = false
  /** Vehicles whose floats changed since `takeDirty`. */
  private dirty = new Set<number>()
  private allDirty = false
  /** Until when something still moves on the screen. */
  glidingUntil = 0
  /** Counts adds, removals and moves, so that readers know when to look again. */
  revision = 0
  /** The page's time at which float times begin, so that they stay small. */
  constructor(readonly epochMs: number) {}

  indexOf(id: string): number {
    return this.index.get(id) ?? -1
  }

  /** Takes a fix in. Returns false for one that is not newer than what is known. */
  apply(fix: Fix, now: number): boolean {
    let at = this.index.get(fix.id)
    const fresh = at === undefined
    if (at === undefined) at = this.add(fix.id)
    else if (fix.fixTimeMs < this.fixTimeMs[at]!) return false
    const x = mercatorX(fix.lon)
    const y = mercatorY(fix.lat)
    const since = now - this.epochMs - this.gpu[at * STRIDE + START]!
    const same = !fresh && fix.fixTimeMs === this.fixTimeMs[at]
    const moved = fresh || x !== this.x[at] || y !== this.y[at]
    if (moved) this.move(at, x, y, fix.headingDeg, now, fresh || since > PAUSE_MS)
    this.fixTimeMs[at] = fix.fixTimeMs
    // An age that no longer fits its field says "at least": the fix itself says better when it was made.
    if (!same || fix.ageMs < AGE_MAX_MS) this.seenAt[at] = now - fix.ageMs
    this.speedKmh[at] = fix.speedKmh
    if (!Number.isNaN(fix.headingDeg)) this.headingDeg[at] = fix.headingDeg
    this.setStatus(at, fix.status)
    this.revision++
    return true
  }

  /** Takes a GeoJSON feature in, as plain sessions send them. */
  applyFeature(feature: VehicleFeature, now: number, wall: number): boolean {
    const { properties } = feature
    // RFC 7946 allows a feature without a place.
    if (!(feature.geometry as VehicleFeature['geometry'] | null)?.coordinates) return false
    const id = properties.vehicle_id ?? feature.id
    const fixTimeMs = properties.time_ms ?? (properties.timestamp !== undefined ? properties.timestamp * 1000 : wall)
    const speed = properties.speed_kmh ?? NaN
    const status = properties.status ?? (speed >= 3 ? 'moving' : 'stopped')
    if (properties.engine) this.engines.set(id, { ...this.engines.get(id), ...properties.engine })
    if (properties.driver?.style) this.styles.set(id, properties.driver.style)
    const applied = this.apply(
      {
        id, lon: feature.geometry.coordinates[0], lat: feature.geometry.coordinates[1], speedKmh: speed,
        headingDeg: properties.heading_deg ?? NaN, status: STATUSES.indexOf(status),
        ageMs: properties.age_ms ?? Math.max(0, wall - fixTimeMs), fixTimeMs,
      },
      now,
    )
    const at = this.indexOf(id)
    if (properties.group !== undefined && at >= 0) this.groups[at] = properties.group
    return applied
  }

  /** Sets a vehicle to where it was at some time of the past, in any order of times; it jumps there. */
  place(fix: Fix, now: number): void {
    const at = this.index.get(fix.id)
    if (at !== undefined) {
      this.fixTimeMs[at] = -Infinity
      this.gpu[at * STRIDE + START] = now - this.epochMs - 2 * PAUSE_MS
    }
    this.apply(fix, now)
  }

  setGroup(id: string, group: string | null): void {
    const at = this.indexOf(id)
    if (at >= 0) this.groups[at] = group
  }

  remove(id: string): void {
    const at = this.index.get(id)
    if (at === undefined) return
    const last = this.count - 1
    if (at !== last) this.copy(last, at)
    this.index.delete(id)
    this.ids.pop()
    this.groups.pop()
    this.count = last
    this.engines.delete(id)
    this.styles.delete(id)
    this.allDirty = true
    this.revision++
  }

  clear(): void {
    for (const id of [...this.ids]) this.remove(id)
  }

  /** The page's clock has missed `ms` milliseconds: every fix is older by so much. */
  missed(ms: number): void {
    for (let at = 0; at < this.count; at++) this.seenAt[at] = this.seenAt[at]! - ms
  }

  /** Age of the newest fix in milliseconds. */
  ageMs(at: number, now: number): number {
    return Math.max(0, now - this.seenAt[at]!)
  }

  /** What the vehicle does, or that it has fallen silent since it last said so. */
  statusAt(at: number, now: number): Status {
    return STATUSES[this.statusCode(at, now)]!
  }

  statusCode(at: number, now: number): number {
    return now - this.seenAt[at]! > SILENT_AFTER_MS ? SILENT_CODE : this.status[at]!
  }

  /** Makes what is drawn follow from age alone: with a lost link nothing else would grey the markers. */
  agePass(now: number): void {
    for (let at = 0; at < this.count; at++) {
      const code = this.statusCode(at, now)
      if (this.gpu[at * STRIDE + STATUS] !== code) {
        this.gpu[at * STRIDE + STATUS] = code
        this.touch(at)
      }
    }
  }

  position(at: number): LonLat {
    return [lonOf(this.x[at]!), latOf(this.y[at]!)]
  }

  /** Where the marker is drawn at `now`, in mercator: between two fixes while it glides. */
  shown(at: number, now: number): [x: number, y: number] {
    const o = at * STRIDE
    const g = this.gpu
    const k = Math.max(0, Math.min(1, (now - this.epochMs - g[o + START]!) / g[o + START + 1]!))
    return [
      this.originX + g[o + X0]! + (g[o + X1]! - g[o + X0]!) * k,
      this.originY + g[o + X0 + 1]! + (g[o + X1 + 1]! - g[o + X0 + 1]!) * k,
    ]
  }

  setFlag(at: number, flag: number, on: boolean): void {
    const slot = at * STRIDE + FLAGS
    const old = this.gpu[slot]!
    const value = on ? old | flag : old & ~flag
    if (value !== old) {
      this.gpu[slot] = value
      this.touch(at)
    }
  }

  hasFlag(at: number, flag: number): boolean {
    return (this.gpu[at * STRIDE + FLAGS]! & flag) !== 0
  }

  /** Which vehicles' floats changed: all of them, some, or null for none. */
  takeDirty(): 'all' | Set<number> | null {
    const result = this.allDirty ? 'all' : this.dirty.size > 0 ? this.dirty : null
    this.allDirty = false
    if (result !== null) this.dirty = new Set()
    return result
  }

  /** The nearest shown vehicle within `radius` (mercator units) of a point; -1 for none. */
  nearest(x: number, y: number, radius: number, now: number): number {
    let best = -1
    let bestDistance = radius * radius
    for (let at = 0; at < this.count; at++) {
      if (this.hasFlag(at, FLAG_HIDDEN)) continue
      const dx = this.x[at]! - x
      // Cheap first: what is far cannot glide here.
      if (Math.abs(dx) > radius + JUMP) continue
      const [sx, sy] = this.shown(at, now)
      const distance = (sx - x) ** 2 + (sy - y) ** 2
      if (distance <= bestDistance) {
        bestDistance = distance
        best = at
      }
    }
    return best
  }

  private move(at: number, x: number, y: number, heading: number, now: number, jump: boolean): void {
    if (!this.hasOrigin) {
      this.originX = x
      this.originY = y
      this.hasOrigin = true
    }
    const o = at * STRIDE
    const g = this.gpu
    const started = g[o + START]! + this.epochMs
    const [fromX, fromY] = this.shown(at, now)
    const leap = jump || Math.hypot(x - fromX, y - fromY) > JUMP
    g[o + X1] = x - this.originX
    g[o + X1 + 1] = y - this.originY
    g[o + X0] = leap ? g[o + X1]! : fromX - this.originX
    g[o + X0 + 1] = leap ? g[o + X1 + 1]! : fromY - this.originY
    const glide = leap ? 1 : Math.max(GLIDE_MIN_MS, Math.min(GLIDE_MAX_MS, now - started))
    g[o + START] = now - this.epochMs
    g[o + START + 1] = glide
    const before = g[o + HEADING0 + 1]!
    const after = Number.isNaN(heading) ? before : heading
    // The shorter way round, so that a turn from 350 to 10 degrees does not spin the arrow.
    g[o + HEADING0] = leap ? after : after - ((((after - before + 180) % 360) + 360) % 360) + 180
    g[o + HEADING0 + 1] = after
    this.x[at] = x
    this.y[at] = y
    this.glidingUntil = Math.max(this.glidingUntil, now + glide)
    this.touch(at)
  }

  private setStatus(at: number, code: number): void {
    this.status[at] = code
    if (this.gpu[at * STRIDE + STATUS] !== code) {
      this.gpu[at * STRIDE + STATUS] = code
      this.touch(at)
    }
  }

  private touch(at: number): void {
    if (!this.allDirty) this.dirty.add(at)
  }

  private add(id: string): number {
    const at = this.count++
    if (this.count > this.x.length) this.grow(Math.max(64, this.x.length * 2))
    this.index.set(id, at)
    this.ids[at] = id
    this.groups[at] = null
    this.gpu.fill(0, at * STRIDE, (at + 1) * STRIDE)
    this.gpu[at * STRIDE + START + 1] = 1
    this.headingDeg[at] = NaN
    this.status[at] = SILENT_CODE
    this.fixTimeMs[at] = -Infinity
    return at
  }

  private copy(from: number, to: number): void {
    this.ids[to] = this.ids[from]!
    this.groups[to] = this.groups[from]!
    this.index.set(this.ids[to]!, to)
    for (const array of [this.x, this.y, this.fixTimeMs, this.seenAt, this.speedKmh, this.headingDeg, this.status]) {
      array[to] = array[from]!
    }
    this.gpu.copyWithin(to * STRIDE, from * STRIDE, (from + 1) * STRIDE)
  }

  private grow(capacity: number): void {
    const larger = <T extends Float64Array | Float32Array | Uint8Array>(old: T, next: T): T => {
      next.set(old)
      return next
    }
    this.x = larger(this.x, new Float64Array(capacity))
    this.y = larger(this.y, new Float64Array(capacity))
    this.fixTimeMs = larger(this.fixTimeMs, new Float64Array(capacity))
    this.seenAt = larger(this.seenAt, new Float64Array(capacity))
    this.speedKmh = larger(this.speedKmh, new Float32Array(capacity))
    this.headingDeg = larger(this.headingDeg, new Float32Array(capacity))
    this.status = larger(this.status, new Uint8Array(capacity))
    this.gpu = larger(this.gpu, new Float32Array(capacity * STRIDE))
    this.allDirty = true
  }
}
