import { describe, expect, it } from 'vitest'

import { fitting, fromScreen, lonLatToScreen } from '../../src/core/camera'
import { de } from '../../src/core/de'
import { en } from '../../src/core/en'
import { inRouteOrder, isOver, standing, whatChanged } from '../../src/core/route'
import { grow, positionAt, trackMeters } from '../../src/core/scrub'
import { ageText, board, freshness, isWanted, lateBy, mergedStates, newer, newerMessage, nextStop, orderLateBy, trackerState } from '../../src/core/status'
import { Streets } from '../../src/core/streets'
import { choose, setLanguage, t } from '../../src/core/text'
import type { LonLat, Message, Order, Route, Stop, TrackPoint } from '../../src/core/types'
import { FrameMeter } from '../../src/map/frames'
import { joined, straightRun } from '../../src/map/labels'
import { markerPx } from '../../src/map/markers'
import { layers } from '../../src/map/style'
import { MAP_THEMES } from '../../src/map/theme'
import { timeOf } from '../../src/pages/dispatcher/draft'

const stop = (id: string, more: Partial<Stop> = {}): Stop => ({ id, sequence: 0, position: { lon: 25, lat: 60 }, state: 'planned', due_from: null, due_until: null, ...more })
const order = (id: string, more: Partial<Order> = {}): Order => ({ id, customer: id, state: 'planned', vehicle: null, created: '', changed: '', stops: [stop(`${id}1`)], ...more })

describe('an order that is looked for', () => {
  const bakery = order('7f3a', { customer: 'Old Bakery', vehicle: 'VAN-0042' })
  it.each([['bakery', true], ['van-0042', true], ['7f3', true], ['f3a', false], ['harbour', true], ['butcher', false]])('by %s: %s', (wanted, found) => {
    expect(isWanted(bakery, wanted, () => 'Harbour Street')).toBe(found)
  })
  it('may have no vehicle', () => expect(isWanted(order('7f3a'), 'null', () => '')).toBe(false))
})

describe('a trail', () => {
  it('grows where somebody moves, up to its bound', () => {
    const line: LonLat[] = []
    expect([[0, 0], [1, 0], [1, 0], [2, 0], [3, 0]].map((here) => grow(line, here as LonLat, 3))).toEqual([true, true, false, true, true])
    expect(line).toEqual([[1, 0], [2, 0], [3, 0]])
  })
})

describe('what a tracker says', () => {
  it('has the last word when it has applied something', () => {
    expect(trackerState(null)).toBeNull()
    expect(trackerState({ queued: 'a' })).toBe('queued')
    expect(trackerState({ queued: 'a', delivered: 'b', applied: null })).toBe('delivered')
    expect(trackerState({ queued: 'a', expired: 'c', delivered: 'b' })).toBe('expired')
    expect(trackerState({ queued: 'a', expired: 'c', applied: 'b' })).toBe('applied')
  })
  it('adds to what is known, and begins anew with a new thing', () => {
    expect(mergedStates({ queued: 'a', applied: null }, { applied: 'b' }, false)).toEqual({ queued: 'a', applied: 'b' })
    expect(mergedStates({ queued: 'a', applied: 'b' }, { queued: 'c' }, true)).toEqual({ queued: 'c' })
    expect(mergedStates({ queued: 'a' }, undefined, false)).toEqual({ queued: 'a' })
    expect(mergedStates(undefined, undefined, false)).toBeNull()
  })

  it('an answer that comes after the feed has told more takes nothing back', () => {
    const order = { id: 'a', state: 'planned', changed: '2026-03-02T07:00:01Z' }
    const later = { ...order, state: 'assigned', changed: '2026-03-02T07:00:02Z' }
    expect([newer(later, order), newer(order, later), newer(undefined, order)]).toEqual([later, later, order])
    const sent: Message = { id: 'm', vehicle: 'V', to_vehicle: true, body: 'hello', state: 'queued', created: 'a', changed: 'a', states: { queued: 'a', applied: null } }
    const told: Message = { ...sent, states: { queued: 'a', delivered: 'b', applied: 'c' } }
    expect(newerMessage(told, sent)).toEqual(told)
    expect(newerMessage(sent, told)).toEqual(told)
    expect(newerMessage({ ...told, state: 'read', changed: 'd' }, sent)).toEqual({ ...told, state: 'read', changed: 'd' })
    expect(newerMessage(undefined, { ...sent, states: undefined }).states).toBeNull()
  })
})

describe('time scrub', () => {
  const track: TrackPoint[] = [[0, 25, 60, 36], [10_000, 25.001, 60, 36], [20_000, 25.001, 60, 0], [200_000, 25.002, 60, 0]]

  it('is between two points in proportion to time', () => {
    expect(positionAt(track, 2_500)).toMatchObject({ lon: 25.00025, moving: true, headingDeg: 90 })
  })
  it('stays at the last point over a gap, and says how old that is', () => {
    expect(positionAt(track, 120_000)).toMatchObject({ lon: 25.001, ageMs: 100_000, moving: false, silent: false })
    expect(positionAt(track, 900_000)).toMatchObject({ lon: 25.002, ageMs: 700_000, silent: true })
    expect(positionAt([[0, 25, 60, 0], [3_600_000, 25, 60, 0]], 120_000)).toMatchObject({ silent: true })
  })
  it('is nowhere before the first', () => {
    expect(positionAt(track, -1)).toBeNull()
    expect(positionAt([], 5)).toBeNull()
  })
  it('measures length', () => {
    expect(trackMeters(track.slice(0, 2))).toBeCloseTo(55.7, 0)
  })
})

describe('states and ages', () => {
  it('ages read as people say them', () => {
    expect([500, 12_300, 89_000, 150_000, 7_200_000, 200_000_000].map((ms) => ageText(ms))).toEqual([
      { key: 'age.now', n: 0 }, { key: 'age.s', n: 12 }, { key: 'age.s', n: 89 }, { key: 'age.min', n: 3 }, { key: 'age.h', n: 2 }, { key: 'age.d', n: 2 },
    ])
    expect([0, 20_000, 61_000].map(freshness)).toEqual(['fresh', 'ageing', 'stale'])
  })
  it('late is past the window and not served', () => {
    const due = stop('a', { due_until: new Date(1000).toISOString() })
    expect(lateBy(due, 61_000)).toBe(60_000)
    expect(lateBy({ ...due, state: 'done' }, 61_000)).toBe(0)
    expect(orderLateBy(order('o', { state: 'delivered', stops: [due] }), 61_000)).toBe(0)
  })
  it('the next stop is the first open one', () => {
    expect(nextStop([stop('b', { sequence: 2 }), stop('a', { sequence: 1, state: 'arrived' }), stop('c', { sequence: 0, state: 'done' })])?.id).toBe('a')
    expect(nextStop([stop('c', { state: 'done' })])).toBeNull()
  })
  it('the board puts late orders first and leaves cancelled ones out', () => {
    const late = order('late', { stops: [stop('x', { due_until: new Date(0).toISOString() })] })
    const columns = board([order('b'), order('x', { state: 'cancelled' }), late, order('d', { state: 'delivered' })], 1e6)
    expect(columns.planned.map((each) => each.id)).toEqual(['late', 'b'])
    expect(columns.delivered).toHaveLength(1)
    expect(Object.values(columns).flat()).toHaveLength(3)
  })
})

describe('what a new route changes', () => {
  it('names what is new, dropped and moved, and only that', () => {
    expect(whatChanged(['a', 'b', 'c', 'd'], ['d', 'a', 'b', 'e'])).toEqual({ added: ['e'], removed: ['c'], moved: [{ id: 'd', from: 4, to: 1 }] })
    expect(whatChanged(['a', 'b'], ['a', 'b'])).toEqual({ added: [], removed: [], moved: [] })
  })
  it('stops follow the route, others come after', () => {
    expect(inRouteOrder([stop('a', { sequence: 0 }), stop('b', { sequence: 1 }), stop('c', { sequence: 2 })], ['c', 'b']).map((each) => each.id)).toEqual(['c', 'b', 'a'])
  })
  it('where the vehicle is comes before everything, whatever the route says', () => {
    const stops = [stop('a', { sequence: 0 }), stop('b', { sequence: 1, state: 'arrived' }), stop('c', { sequence: 2 })]
    for (const route of [[], ['c', 'a'], ['c', 'a', 'b']]) expect(inRouteOrder(stops, route)[0]!.id).toBe('b')
  })
})

describe('a route that was pushed', () => {
  const route = (id: string, revision: number): Route => ({ id, revision, stops: [], state: 'queued' })
  it('stands until the store tells of one as new', () => {
    const pushed = route('pushed', 5)
    const shown = (stored: Route | null): string | undefined => standing(stored, pushed)?.id
    expect([null, route('old', 4), route('same', 5), route('new', 6)].map(shown)).toEqual(['pushed', 'pushed', 'same', 'new'])
    expect(standing(route('old', 4), null)?.id).toBe('old')
  })
  it('is over when somebody says so of this very one', () => {
    const says = (more: object): boolean => isOver(route('pushed', 5), { kind: 'route', id: 'r', ...more })
    expect([{ revision: 5, state: 'expired' }, { revision: 5, states: { expired: 'a' } }].map(says)).toEqual([true, true])
    expect([{ revision: 4, state: 'expired' }, { revision: 5, state: 'applied' }, { revision: 5, states: { applied: 'a' } }, {}].map(says)).toEqual([false, false, false, false])
  })
})

describe('streets', () => {
  const streets = new Streets({ type: 'FeatureCollection', features: [
    { type: 'Feature', properties: { class: 'residential', name: 'High Street' }, geometry: { type: 'LineString', coordinates: [[25, 60], [25.01, 60]] } },
    { type: 'Feature', properties: { class: 'residential' }, geometry: { type: 'LineString', coordinates: [[25, 60.0005], [25.01, 60.0005]] } },
  ] })
  it('the nearest named one names a place', () => expect(streets.near(25.005, 60.0006)).toBe('High Street'))
  it('nothing near is nothing', () => expect(streets.near(25.2, 60)).toBeNull())
})

describe('camera', () => {
  it('fits points and goes to pixels and back', () => {
    const camera = fitting([[24.9, 60.1], [25.1, 60.2]], 800, 600, 50)
    for (const [lon, lat] of [[24.9, 60.1], [25.1, 60.2]] as const) {
      const [x, y] = lonLatToScreen(camera, lon, lat)
      expect(x).toBeGreaterThanOrEqual(49.9)
      expect(x).toBeLessThanOrEqual(750.1)
      expect(y).toBeGreaterThanOrEqual(49.9)
      expect(y).toBeLessThanOrEqual(550.1)
      const [mx] = fromScreen(camera, x, y)
      expect(mx * 360 - 180).toBeCloseTo(lon, 9)
    }
  })
  it('pieces of one street are one line for its name, whichever way they were drawn', () => {
    const piece = (name: string, line: number[][]): { name: string; rank: number; line: number[][] } => ({ name, rank: 5, line })
    const found = joined([piece('A', [[2, 0], [3, 0]]), piece('B', [[9, 9], [8, 8]]), piece('A', [[2, 0], [1, 0]]), piece('A', [[0, 0], [1, 0]]), piece('A', [[7, 7], [6, 6]])])
    expect(found.filter((each) => each.name === 'A').map((each) => each.line)).toEqual([[[0, 0], [1, 0], [2, 0], [3, 0]], [[7, 7], [6, 6]]])
    expect(found).toHaveLength(3)
  })
  it('names stand on straight stretches only', () => {
    expect(straightRun([[0, 0], [50, 0], [100, 2], [100, 90]], 80)).toEqual([0, 0, 100, 2])
    expect(straightRun([[0, 0], [50, 0], [50, 50]], 80)).toBeNull()
  })
})

describe('texts', () => {
  it('every language has every text, with the same blanks', () => {
    const blanks = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(String).sort()
    expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort())
    for (const key of Object.keys(en) as (keyof typeof en)[]) expect(blanks(de[key]), key).toEqual(blanks(en[key]))
  })
  it('the first known language of the browser is taken', () => {
    expect(choose(['fi-FI', 'de-AT', 'en'])).toBe('de')
    expect(choose(['fi'])).toBe('en')
    setLanguage('de')
    expect(t('o.late', { n: 7 })).toBe('7 min zu spät')
    setLanguage('en')
  })
})

describe('map style', () => {
  it('asks for no glyphs and has equal layers in both themes', () => {
    for (const tiled of [false, true]) {
      const [light, dark] = [layers(MAP_THEMES.light, tiled), layers(MAP_THEMES.dark, tiled)]
      expect(light.map((layer) => layer.id)).toEqual(dark.map((layer) => layer.id))
      expect(light.some((layer) => layer.type === 'symbol')).toBe(false)
    }
  })
})

describe('a new order', () => {
  it('times are of today, or of tomorrow past midnight', () => {
    const now = new Date(2026, 2, 2, 22, 0).getTime()
    expect(new Date(timeOf('23:30', now)!).getDate()).toBe(2)
    expect(new Date(timeOf('01:15', now)!).getDate()).toBe(3)
    expect(timeOf('', now)).toBeNull()
  })
})

describe('frames', () => {
  const run = (gapMs: number, frames: number): { meter: FrameMeter; now: number } => {
    const meter = new FrameMeter()
    let now = 0
    for (let n = 0; n < frames; n++) meter.done((now += gapMs), n % 100 < 96 ? 0.2 : 5)
    return { meter, now }
  }
  it('slow ones are noticed, get another chance later, and pauses are none', () => {
    expect(run(16, 200).meter.slow(3200)).toBe(false)
    const { meter, now } = run(60, 40)
    expect(meter.slow(now)).toBe(true)
    expect(meter.slow(now + 60_000)).toBe(false)
    expect(run(1000, 40).meter.slow(40_000)).toBe(false)
  })
  it('script time is told by its quantiles', () => {
    expect(run(16, 400).meter.stats()).toMatchObject({ frames: 400, p50: expect.closeTo(0.2, 5) as number, p95: expect.closeTo(0.2, 5) as number, max: 5 })
  })
  it('markers grow with the zoom and shrink in a crowd', () => {
    const area = 1280 * 720
    expect(markerPx(16, 20, area)).toBeGreaterThan(markerPx(11, 20, area))
    expect(markerPx(16, 10_000, area)).toBeLessThan(14)
    expect(markerPx(16, 1e9, area)).toBeGreaterThanOrEqual(10)
  })
})
