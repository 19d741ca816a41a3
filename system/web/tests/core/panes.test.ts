/** Days, trips, areas and faults, as their panes show them. */
import { describe, expect, it } from 'vitest'

import { byStop, lateMinutes } from '../../src/core/arrivals'
import { deedsOf, secondsLeft, trouble, type Fault } from '../../src/core/faults'
import { cornersOf, crosses, DAY_MS, dayRows, DAYS, ringOf, tripsOf } from '../../src/core/history'
import { duration } from '../../src/core/text'
import type { Arrival, DayTotal, LonLat, Trip } from '../../src/core/types'

const NOON = Date.parse('2026-03-02T12:00:00Z')
const total = (day: string, distance_m: number): DayTotal => ({ day, fixes: 1, distance_m, moving_s: 60, speed_max_mps: 9 })
const trip = (started: string): Trip => ({ started, ended: started, distance_m: 1, from: { lon: 0, lat: 0 }, to: { lon: 0, lat: 0 } })

describe('days', () => {
  it('are a week, newest first, with gaps where nothing is known', () => {
    const rows = dayRows([total('2026-03-02T00:00:00.000000Z', 500), total('2026-02-28T00:00:00.000000Z', 2000)], NOON)
    expect(rows.map((row) => row.total?.distance_m ?? null)).toEqual([500, null, 2000, null, null, null, null])
    expect(rows.map((row) => row.share)).toEqual([0.25, 0, 1, 0, 0, 0, 0])
    expect(rows.length).toBe(DAYS)
    expect(rows[0]!.day - rows[1]!.day).toBe(DAY_MS)
  })

  it('have the trips that began on them, newest first', () => {
    const trips = [trip('2026-03-01T23:59:59Z'), trip('2026-03-02T07:00:00Z'), trip('2026-03-02T09:00:00Z')]
    expect(tripsOf(trips, Date.parse('2026-03-02T00:00:00Z')).map((each) => each.started)).toEqual(['2026-03-02T09:00:00Z', '2026-03-02T07:00:00Z'])
  })

  it('say durations in words', () => {
    expect([40, 60, 3540, 3600, 3900].map(duration)).toEqual(['40 s', '1 min', '59 min', '1 h 00 min', '1 h 05 min'])
  })
})

describe('areas', () => {
  const square: LonLat[] = [[0, 0], [1, 0], [1, 1], [0, 1]]

  it('close their ring and open it again', () => {
    expect(ringOf(square)).toHaveLength(5)
    expect(cornersOf([ringOf(square)])).toEqual(square)
    expect([ringOf([]), cornersOf([])]).toEqual([[], []])
  })

  it('cross or do not', () => {
    expect(crosses(square)).toBe(false)
    expect(crosses([[0, 0], [1, 1], [1, 0], [0, 1]])).toBe(true)
    expect(crosses([[0, 0], [2, 0], [1, 1]])).toBe(false)
  })
})

describe('faults', () => {
  const fault = (state: Fault['state'], left_s: number | null): Fault => ({ fault: 0, verb: 'kill', target: 'hub/0', at_s: 1, for_s: 5, state, left_s, cannot: null })

  it('count what is left in whole seconds, while they are under way', () => {
    expect([fault('active', 2.1), fault('active', null), fault('over', null)].map(secondsLeft)).toEqual([3, null, null])
  })

  it('offer what can be done to a node now', () => {
    const node = { node: 'hub/0', state: 'up' as const, killed: false, hung: false }
    expect(deedsOf(node)).toEqual(['kill', 'restart', 'hang'])
    expect(deedsOf({ ...node, killed: true })).toEqual(['start', 'hang'])
    expect(deedsOf({ ...node, hung: true })).toEqual(['kill', 'restart', 'resume'])
    expect(trouble({ now_s: 0, faults: [fault('active', 1), fault('over', null)], nodes: [node, { ...node, state: 'down' }] })).toEqual({ active: 1, ill: 1 })
  })
})

describe('arrivals', () => {
  const arrival = (stop: string, late_s: number | null): Arrival => ({ stop, order: 'o', under_way: true, expected: '', earliest: '', latest: '', distance_m: 1, late_s })

  it('are found by their stop, and late by whole minutes', () => {
    const found = byStop({ vehicle: 'V', items: [arrival('a', null), arrival('b', 20)], none: null })
    expect([...found.keys()]).toEqual(['a', 'b'])
    expect([found.get('a'), found.get('b'), undefined, arrival('c', 150)].map(lateMinutes)).toEqual([0, 1, 0, 3])
    expect(byStop(null).size).toBe(0)
  })
})
