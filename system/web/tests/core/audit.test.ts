/** What a note of the audit trail is about, where it leads, and how pages of them come together. */
import { describe, expect, it } from 'vitest'

import { ACTIONS, byDay, endOf, goalOf, merged, shortName, thingOf, THINGS, untilOf, type Known } from '../../src/core/audit'
import type { AuditEntry, Message, Order, Page, Route, Stop } from '../../src/core/types'

const note = (id: string, fields: Partial<AuditEntry> = {}): AuditEntry => ({
  id, at: '2026-03-02T07:00:00.000Z', actor: 'dana', role: 'dispatcher', action: 'change_order', subject: '', outcome: 'applied', peer: '127.0.0.1', ...fields,
})
const stop = (id: string): Stop => ({ id, sequence: 0, position: { lon: 0, lat: 0 }, state: 'planned', due_from: null, due_until: null })
const order: Order = { id: 'o1', customer: 'Ann', state: 'planned', vehicle: null, created: '', changed: '', stops: [stop('s1'), stop('s2')] }
const known: Known = {
  vehicles: new Set(['VAN-1']),
  orders: new Map([['o1', order]]),
  messages: new Map([['m1', { vehicle: 'VAN-1' } as Message], ['m2', { vehicle: 'VAN-9' } as Message]]),
  routes: new Map([['VAN-1', { id: 'r1', vehicle: 'VAN-1' } as Route]]),
  areas: new Map([['a1', 'Depot']]),
}

describe('a note', () => {
  it('is about one kind of thing, and every kind of action is about one', () => {
    const all = THINGS.flatMap((thing) => [...ACTIONS[thing]])
    expect(new Set(all).size).toBe(all.length)
    expect(['change_stop', 'share_order', 'signed_in', 'launch_rocket'].map(thingOf)).toEqual(['stop', 'link', 'access', null])
  })

  it('leads to what the page can open, and nowhere else', () => {
    const goal = (action: string, subject: string) => goalOf(note('1', { action, subject }), known)
    const ann = { kind: 'order', id: 'o1', name: 'Ann' }
    const van = { kind: 'vehicle', id: 'VAN-1', name: 'VAN-1' }
    expect([goal('change_order', 'o1'), goal('change_stop', 's2')]).toEqual([ann, ann])
    expect([goal('send_message', 'm1'), goal('plan_route', 'r1'), goal('signed_in', 'VAN-1')]).toEqual([van, van, van])
    expect(goal('change_geofence', 'a1')).toEqual({ kind: 'area', id: 'a1', name: 'Depot' })
    const nowhere = [['change_order', 'o9'], ['change_stop', 's9'], ['send_message', 'm2'], ['plan_route', 'r9'], ['remove_geofence', 'a9'], ['share_order', 'o1'], ['refused', 'VAN-1'], ['launch_rocket', 'o1'], ['change_order', '']]
    expect(nowhere.map(([action, subject]) => goal(action!, subject!))).toEqual(nowhere.map(() => null))
  })

  it('says how it ended, and until when a sign-in holds', () => {
    expect([note('1'), note('2', { outcome: 'elsewhere' }), note('3', { action: 'refused', outcome: 'forbidden' })].map(endOf)).toEqual(['done', 'failed', 'refused'])
    expect(untilOf(note('1', { action: 'signed_in', outcome: 'until 2026-03-02T15:00:00Z' }))).toBe('2026-03-02T15:00:00Z')
    expect(untilOf(note('1', { action: 'signed_in', outcome: 'until tomorrow' }))).toBeNull()
    expect(untilOf(note('1', { outcome: 'until 2026-03-02T15:00:00Z' }))).toBeNull()
  })

  it('has a short name for an identity, and its own for all else', () => {
    expect(shortName('67e55044-10b1-426f-9247-bb680e5fe0c8')).toBe('67e55044…')
    expect(shortName('/api/v1/orders')).toBe('/api/v1/orders')
  })
})

describe('pages', () => {
  const page = (ids: string[], next: string | null): Page<AuditEntry> => ({ items: ids.map((id) => note(id, { at: `2026-03-02T07:00:${id.padStart(2, '0')}.000Z` })), next })
  const ids = (found: Page<AuditEntry>) => found.items.map((entry) => entry.id)

  it('get new notes on top, also one that came late, and keep their place', () => {
    const now = merged(page(['5', '3', '2'], 'older'), page(['6', '5', '4', '3'], 'newer'))
    expect([ids(now), now.next]).toEqual([['6', '5', '4', '3', '2'], 'older'])
  })

  it('stay the same where nothing is new', () => {
    const before = page(['5', '3'], null)
    expect(merged(before, page(['5', '3'], null))).toBe(before)
  })

  it('are begun anew where something may be missing between', () => {
    const now = merged(page(['3', '2'], 'older'), page(['9', '8'], 'more'))
    expect([ids(now), now.next]).toEqual([['9', '8'], 'more'])
    expect(ids(merged(page([], null), page(['2', '1'], null)))).toEqual(['2', '1'])
  })

  it('are shown day by day', () => {
    const entries = [note('3', { at: '2026-03-02T00:01:00Z' }), note('2', { at: '2026-03-01T23:59:00Z' }), note('1', { at: '2026-03-01T08:00:00Z' })]
    expect(byDay(entries, (at) => at.slice(0, 10)).map(({ day, entries: of }) => [day, of.map((entry) => entry.id)])).toEqual([['2026-03-02', ['3']], ['2026-03-01', ['2', '1']]])
  })
})
