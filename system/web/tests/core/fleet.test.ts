import { describe, expect, it } from 'vitest'

import { cluster } from '../../src/core/cluster'
import { Fleet, FLAG_HIDDEN, FLAG_SELECTED, SILENT_AFTER_MS, STRIDE, type Fix } from '../../src/core/fleet'
import { latOf, lonOf, mercatorX, mercatorY } from '../../src/core/mercator'
import { SleepWatch } from '../../src/core/sleep'

function fix(id: string, lon: number, fixTimeMs: number, more: Partial<Fix> = {}): Fix {
  return { id, lon, lat: 60, speedKmh: 30, headingDeg: 90, status: 0, ageMs: 0, fixTimeMs, ...more }
}

describe('fleet', () => {
  it('an older fix never wins over a newer one', () => {
    const fleet = new Fleet(0)
    expect(fleet.apply(fix('A', 25.0, 2000), 10)).toBe(true)
    expect(fleet.apply(fix('A', 24.0, 1000), 20)).toBe(false)
    expect(fleet.position(0)[0]).toBeCloseTo(25, 9)
    expect(fleet.fixTimeMs[0]).toBe(2000)
  })

  it('any order of the same fixes ends at the newest', () => {
    const fixes = [1, 2, 3, 4].map((n) => fix('A', 25 + n / 1000, n * 1000))
    for (const order of [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]) {
      const fleet = new Fleet(0)
      for (const n of order) fleet.apply(fixes[n]!, 1)
      expect(fleet.position(0)[0]).toBeCloseTo(25.004, 9)
    }
  })

  it('what was new before the machine slept is old after it', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0), 1000)
    const watch = new SleepWatch(500_000, 1000)
    expect(watch.look(501_000, 2000)).toBe(0)
    // A clock that is set right by a little is no sleep.
    expect(watch.look(503_500, 3000)).toBe(0)
    const missed = watch.look(503_500 + 3_600_000, 4000)
    expect(missed).toBe(3_599_000)
    fleet.missed(missed)
    expect(fleet.ageMs(0, 4000)).toBe(3_602_000)
    expect(fleet.statusAt(0, 4000)).toBe('silent')
    expect(watch.look(504_500 + 3_600_000, 5000)).toBe(0)
  })

  it('a marker glides from where it is shown, not from where it was', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0), 0)
    fleet.apply(fix('A', 25.001, 1000), 1000)
    const x = (now: number): number => lonOf(fleet.shown(0, now)[0])
    expect(x(1000)).toBeCloseTo(25, 5)
    expect(x(1500)).toBeCloseTo(25.0005, 5)
    fleet.apply(fix('A', 25.002, 1500), 1500)
    expect(x(1500)).toBeCloseTo(25.0005, 5)
    expect(x(2000)).toBeCloseTo(25.002, 5)
    expect(x(9000)).toBeCloseTo(25.002, 5)
  })

  it('it jumps over great distances and long pauses', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0), 0)
    fleet.apply(fix('A', 25.2, 1000), 1000)
    expect(lonOf(fleet.shown(0, 1000)[0])).toBeCloseTo(25.2, 5)
    fleet.apply(fix('A', 25.2001, 90_000), 90_000)
    expect(lonOf(fleet.shown(0, 90_000)[0])).toBeCloseTo(25.2001, 5)
  })

  it('an arrow turns the shorter way round', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0, { headingDeg: 350 }), 0)
    fleet.apply(fix('A', 25.0001, 1000, { headingDeg: 10 }), 1000)
    expect([fleet.gpu[6], fleet.gpu[7]]).toEqual([-10, 10])
  })

  it('a vehicle that is not heard of turns silent by age alone', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0, { ageMs: 500 }), 1000)
    expect(fleet.ageMs(0, 1000)).toBe(500)
    expect(fleet.statusAt(0, 1000)).toBe('moving')
    const later = 1000 + SILENT_AFTER_MS
    expect(fleet.statusAt(0, later)).toBe('silent')
    fleet.takeDirty()
    fleet.agePass(later)
    expect(fleet.takeDirty()).toEqual(new Set([0]))
  })

  it('an age past its field does not make an old fix young', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 0, { ageMs: 7_000_000 }), 8_000_000)
    fleet.apply(fix('A', 25, 0, { ageMs: 6_553_500 }), 8_100_000)
    expect(fleet.ageMs(0, 8_100_000)).toBe(7_100_000)
  })

  it('removing one keeps the others', () => {
    const fleet = new Fleet(0)
    for (let n = 0; n < 100; n++) fleet.apply(fix(`V${n}`, 25 + n / 100, 1), 0)
    fleet.setFlag(fleet.indexOf('V99'), FLAG_SELECTED, true)
    fleet.remove('V3')
    expect(fleet.count).toBe(99)
    expect(fleet.indexOf('V3')).toBe(-1)
    for (const n of [0, 2, 4, 50, 99]) expect(fleet.position(fleet.indexOf(`V${n}`))[0]).toBeCloseTo(25 + n / 100, 6)
    expect(fleet.hasFlag(fleet.indexOf('V99'), FLAG_SELECTED)).toBe(true)
  })

  it('positions are within centimetres on the graphics card', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 24.9, 1), 0)
    fleet.apply(fix('B', 25.1, 1), 0)
    const meters = Math.abs(fleet.originX + fleet.gpu[STRIDE]! - mercatorX(25.1)) * 40_075_016 * 0.5
    expect(meters).toBeLessThan(0.05)
  })

  it('GeoJSON and binary say the same', () => {
    const fleet = new Fleet(0)
    fleet.applyFeature({
      type: 'Feature', id: 'A', geometry: { type: 'Point', coordinates: [25, 60] },
      properties: { vehicle_id: 'A', timestamp: 5, speed_kmh: 0, status: 'idling', age_ms: 300, group: 'south', engine: { rpm: 800 } },
    }, 1000, 9e9)
    expect(fleet.statusAt(0, 1000)).toBe('idling')
    expect(fleet.groups[0]).toBe('south')
    expect(fleet.engines.get('A')).toEqual({ rpm: 800 })
    expect(fleet.fixTimeMs[0]).toBe(5000)
  })

  it('the nearest vehicle is found where it is shown, hidden ones are not', () => {
    const fleet = new Fleet(0)
    fleet.apply(fix('A', 25, 1), 0)
    fleet.apply(fix('B', 25.0004, 1), 0)
    const at = (lon: number): number => fleet.nearest(mercatorX(lon), mercatorY(60), 1e-6, 0)
    expect(at(25.0003)).toBe(1)
    fleet.setFlag(1, FLAG_HIDDEN, true)
    expect(at(25.0003)).toBe(0)
    expect(at(25.01)).toBe(-1)
  })
})

describe('mercator', () => {
  it('goes there and back', () => {
    for (const [lon, lat] of [[0, 0], [24.94, 60.17], [-179.9, -84], [151.2, -33.9]] as const) {
      expect(lonOf(mercatorX(lon))).toBeCloseTo(lon, 9)
      expect(latOf(mercatorY(lat))).toBeCloseTo(lat, 9)
    }
  })
})

describe('clusters', () => {
  const lots = (n: number, spread: number): Fleet => {
    const fleet = new Fleet(0)
    for (let at = 0; at < n; at++) fleet.apply(fix(`V${at}`, 25 + (at % 10) * spread, 1, { lat: 60 + Math.floor(at / 10) * spread, status: at % 4 }), 0)
    return fleet
  }
  const run = (fleet: Fleet, zoom: number, visible: (at: number) => boolean = () => true): { clusters: ReturnType<typeof cluster>; hidden: number } => {
    const hidden = new Set<number>()
    const clusters = cluster({ count: fleet.count, x: fleet.x, y: fleet.y, visible, status: (at) => fleet.status[at]! }, zoom, (at, on) => on && hidden.add(at))
    return { clusters, hidden: hidden.size }
  }

  it('every vehicle is either drawn or counted, once', () => {
    const fleet = lots(400, 0.001)
    for (const zoom of [4, 8, 10, 12, 14, 16]) {
      const { clusters, hidden } = run(fleet, zoom)
      expect(clusters.reduce((sum, each) => sum + each.count, 0)).toBe(hidden)
      for (const each of clusters) expect(each.byStatus.reduce((a, b) => a + b)).toBe(each.count)
    }
  })

  it('far out all are one, close by none', () => {
    const fleet = lots(40, 0.0005)
    expect(run(fleet, 3).clusters.map((each) => each.count)).toEqual([40])
    expect(run(fleet, 15).clusters).toEqual([])
  })

  it('what is filtered away is hidden and not counted', () => {
    const { clusters, hidden } = run(lots(40, 0.0005), 3, (at) => at < 10)
    expect(clusters.map((each) => each.count)).toEqual([10])
    expect(hidden).toBe(40)
  })

  it('few are drawn one by one', () => {
    expect(run(lots(3, 0.0001), 10).clusters).toEqual([])
  })
})
