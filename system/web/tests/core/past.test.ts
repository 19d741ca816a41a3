/** Tracks of the past, in pages of an hour. */
import { describe, expect, it } from 'vitest'

import { inOrder, KEEP_MS, LEAD_MS, Pace, PAGE_MS, pageOf, pointsEach, POINTS_KEPT_MAX, Tracks } from '../../src/core/past'
import type { TrackPoint } from '../../src/core/types'

/** The full hour before `NOW`, half of an hour on. */
const HOUR = 500_000 * PAGE_MS
const PAGE = pageOf(HOUR)
const NOW = HOUR + PAGE_MS / 2
const at = (time: number, lon = 25): TrackPoint => [time, lon, 60, 0]

describe('pages of tracks', () => {
  it('are asked for once somebody looks at their hour, each for itself', () => {
    const tracks = new Tracks()
    expect(tracks.missing(['a', 'b'], HOUR - 1, NOW)).toEqual(
      ['a', 'b'].map((id) => ({ id, page: PAGE - 1, from: HOUR - PAGE_MS - LEAD_MS, until: HOUR })),
    )
    tracks.put('a', PAGE - 1, [at(HOUR - PAGE_MS)], NOW)
    expect(tracks.missing(['a', 'b'], HOUR - 1, NOW).map(({ id }) => id)).toEqual(['b'])
    expect(tracks.missing(['a'], HOUR - 10 * PAGE_MS, NOW).map(({ page }) => page)).toEqual([PAGE - 10])
  })

  it('are asked for anew as long as their hour may grow', () => {
    const tracks = new Tracks()
    tracks.put('a', PAGE, [at(HOUR)], NOW)
    tracks.put('a', PAGE - 3, [at(HOUR - 3 * PAGE_MS)], NOW)
    expect(tracks.missing(['a'], NOW - 1, NOW + KEEP_MS)).toEqual([])
    expect(tracks.missing(['a'], NOW - 1, NOW + KEEP_MS + 1)).toHaveLength(1)
    expect(tracks.missing(['a'], HOUR - 2.5 * PAGE_MS, NOW + 100 * KEEP_MS)).toEqual([])
  })

  it('of the hour before tell of whoever was silent since', () => {
    const tracks = new Tracks()
    tracks.put('a', PAGE, [], NOW)
    expect(tracks.at('a', NOW)).toBeNull()
    expect(tracks.missing(['a'], NOW, NOW).map(({ page }) => page)).toEqual([PAGE - 1])
    tracks.put('a', PAGE - 1, [at(HOUR - 60_000, 24)], NOW)
    expect(tracks.missing(['a'], NOW, NOW)).toEqual([])
    expect(tracks.at('a', NOW)).toMatchObject({ lon: 24, silent: true })
    expect(tracks.at('b', NOW)).toBeNull()
  })

  it('know at the full hour where a vehicle came from', () => {
    const tracks = new Tracks()
    tracks.put('a', PAGE, [at(HOUR - 5_000, 25), at(HOUR + 5_000, 26)], NOW)
    expect(tracks.at('a', HOUR)!.lon).toBeCloseTo(25.5)
    expect(tracks.missing(['a'], HOUR, NOW)).toEqual([])
  })

  it('are kept within a bound, the furthest given up first', () => {
    const tracks = new Tracks()
    const many = Array.from({ length: POINTS_KEPT_MAX / 4 }, (_, n) => at(n))
    for (let hour = 0; hour < 8; hour++) tracks.put('a', PAGE - hour, many, NOW)
    // The same page again counts once.
    tracks.put('a', PAGE, many, NOW)
    expect(tracks.size()).toBe(POINTS_KEPT_MAX * 2)
    tracks.bound(HOUR - 5.5 * PAGE_MS)
    expect(tracks.size()).toBe(POINTS_KEPT_MAX)
    const gone = [0, 1, 2, 3, 4, 5, 6, 7].filter((hour) => tracks.missing(['a'], HOUR + 1 - hour * PAGE_MS, NOW).some(({ page }) => page === PAGE - hour))
    expect(gone).toEqual([0, 1, 2, 3])
  })
})

describe('what is loaded', () => {
  it('begins with what is chosen and what is in view, and has a bound', () => {
    const isInView = (id: string): boolean => 'cd'.includes(id)
    expect(inOrder(['a', 'b', 'c', 'd', 'e'], 'e', isInView, 4)).toEqual(['e', 'c', 'd', 'a'])
    expect(inOrder(['a', 'c'], null, isInView, 4)).toEqual(['c', 'a'])
    expect(inOrder(['a'], 'z', isInView, 4)).toEqual(['z', 'a'])
  })

  it('is thinner the more vehicles there are', () => {
    expect([0, 1, 250, 1_000, 100_000].map(pointsEach)).toEqual([720, 720, 720, 240, 120])
  })

  it('is asked for no faster than it may', () => {
    const pace = new Pace(10, 3)
    expect([0, 0, 0, 0, 0].map((now) => pace.wait(now))).toEqual([0, 0, 0, 100, 200])
    expect(pace.wait(1_000)).toBe(0)
    expect([60_000, 60_000, 60_000, 60_000].map((now) => pace.wait(now))).toEqual([0, 0, 0, 100])
  })
})
