/** What a dispatcher's clicks ask of the server, and what the page says of the answers. */
import { beforeEach, describe, expect, it, vi } from 'vitest'

import { ApiError } from '../../src/api/http'
import type { Geofence, Order, Stop } from '../../src/core/types'
import { assign, move } from '../../src/pages/dispatcher/actions'
import { begin, end, save, sketchArea } from '../../src/pages/dispatcher/areas'
import { insight, onChange, orders, routes, toast } from '../../src/pages/dispatcher/state'

/** Calls in the order in which they came; each is answered by what `answers` has under its name. */
const asked: unknown[][] = []
const answers: Record<string, (...values: never[]) => unknown> = {}

vi.mock('../../src/pages/dispatcher/state', async (original) => ({
  ...(await original<object>()),
  theApi: () => new Proxy({}, {
    get: (_, name: string) => (...values: never[]) => {
      asked.push([name, ...values])
      return Promise.resolve().then(() => answers[name]!(...values))
    },
  }),
}))

const stop = (id: string, state: Stop['state']): Stop => ({ id, sequence: 0, position: { lon: 25, lat: 60 }, state, due_from: null, due_until: null })
const failed: Order = {
  id: 'o1', customer: 'Bakery', state: 'failed', vehicle: 'VAN-1', created: '', changed: '',
  stops: [stop('s1', 'done'), stop('s2', 'failed'), stop('s3', 'skipped')],
}

beforeEach(() => {
  vi.useFakeTimers()
  asked.length = 0
  for (const name of Object.keys(answers)) delete answers[name]
})

describe('a failed order', () => {
  beforeEach(() => {
    answers['stopState'] = () => ({})
    answers['orderState'] = (_id, _from, to: Order['state']) => ({ ...failed, state: to })
  })

  it('is planned again with the stops that did not work out', async () => {
    await move(failed, 'planned')
    expect(asked).toEqual([
      ['stopState', 's2', 'failed', 'planned', 'o1'], ['stopState', 's3', 'skipped', 'planned', 'o1'], ['orderState', 'o1', 'failed', 'planned'],
    ])
  })

  it('is given to another vehicle with them', async () => {
    orders.value = new Map([[failed.id, failed]])
    await assign('o1', 'VAN-2')
    expect(asked.map(([name, id, , to]) => [name, id, to])).toEqual([
      ['stopState', 's2', 'planned'], ['stopState', 's3', 'planned'], ['orderState', 'o1', 'planned'], ['orderState', 'o1', 'assigned'],
    ])
  })

  it('stays failed where a stop can not be opened again', async () => {
    answers['stopState'] = () => {
      throw new ApiError(409, { state: 'planned' })
    }
    await move(failed, 'planned')
    expect(asked.map(([name]) => name)).toEqual(['stopState'])
  })
})

describe('what was given to a vehicle', () => {
  const planned: Order = { ...failed, state: 'planned', vehicle: null, stops: [stop('s1', 'planned')] }
  const steps = (): unknown[] => asked.splice(0).map(([, , from, to, vehicle]) => [from, to, vehicle])
  beforeEach(() => {
    answers['orderState'] = (_id, _from, to: Order['state'], vehicle?: string) => ({ ...planned, state: to, vehicle: vehicle ?? null })
  })
  const given = async (before: Order): Promise<() => void> => {
    orders.value = new Map([[before.id, before]])
    await assign('o1', 'VAN-2')
    steps()
    return toast.value!.undo!
  }

  it('can be taken back for 8 s', async () => {
    const undo = await given(planned)
    vi.advanceTimersByTime(7_999)
    expect(toast.value?.undo).toBeDefined()
    undo()
    await vi.waitFor(() => expect(orders.value.get('o1')).toMatchObject({ state: 'planned', vehicle: null }))
    expect(steps()).toEqual([['assigned', 'planned', undefined]])
  })

  it('goes back to whoever had it', async () => {
    const undo = await given({ ...planned, state: 'assigned', vehicle: 'VAN-1' })
    undo()
    await vi.waitFor(() => expect(orders.value.get('o1')).toMatchObject({ state: 'assigned', vehicle: 'VAN-1' }))
    expect(steps()).toEqual([['assigned', 'planned', undefined], ['planned', 'assigned', 'VAN-1']])
  })

  it('stays where its driver has set out', async () => {
    const undo = await given(planned)
    onChange({ kind: 'order', id: 'o1', state: 'under_way', changed: '2026-03-02T07:00:00Z' })
    undo()
    expect(steps()).toEqual([])
    expect(toast.value).toMatchObject({ text: 'Somebody was faster: it is Under way now.', bad: true })
  })
})

describe('a changed area', () => {
  const area: Geofence = { type: 'Feature', id: 'g1', properties: { name: 'Harbour' }, geometry: { type: 'Polygon', coordinates: [[[0, 0], [1, 0], [1, 1], [0, 0]]] } }
  const ring = [[0, 0], [1, 0], [1, 1]]
  beforeEach(() => (answers['geofences'] = () => [area]))

  it('stays the same area', async () => {
    answers['changeGeofence'] = () => area
    begin(area)
    await save()
    expect(asked[0]).toEqual(['changeGeofence', 'g1', 'Harbour', ring])
    expect(asked.map(([name]) => name)).not.toContain('drawGeofence')
    expect(toast.value).toMatchObject({ text: 'Area Harbour saved', bad: false })
    expect(sketchArea.on).toBe(false)
  })

  it('stays under the pencil where it could not be saved', async () => {
    answers['changeGeofence'] = () => {
      throw new ApiError(503, { detail: 'no agent answers' })
    }
    begin(area)
    await save()
    expect(toast.value).toMatchObject({ text: 'Areas: no agent answers', bad: true })
    expect(sketchArea).toMatchObject({ on: true, id: 'g1', corners: ring })
    end()
  })

  it('is drawn if it is new', async () => {
    answers['drawGeofence'] = () => area
    begin(null)
    Object.assign(sketchArea, { title: ' Harbour ', corners: ring })
    await save()
    expect(asked[0]).toEqual(['drawGeofence', 'Harbour', ring])
  })
})

describe('the feed', () => {
  const known: Order = { ...failed, state: 'assigned' }
  const after = (change: object): Order => {
    orders.value = new Map([[known.id, known]])
    onChange({ kind: 'order', id: 'o1', changed: '2026-03-02T07:00:00Z', ...change })
    return orders.value.get('o1')!
  }

  it('takes the vehicle from an order that is planned again', () => {
    expect(after({ state: 'planned' })).toMatchObject({ state: 'planned', vehicle: null })
  })

  it('leaves it with one that goes on', () => {
    expect(after({ state: 'under_way' })).toMatchObject({ state: 'under_way', vehicle: 'VAN-1' })
    expect(after({ state: 'assigned', vehicle: 'VAN-2' })).toMatchObject({ vehicle: 'VAN-2' })
  })

  it('tells of a route that a service pushed, which has no state, and of none by its tracker alone', () => {
    onChange({ kind: 'route', id: 'r1', vehicle: 'VAN-7', revision: 2, states: { applied: '2026-03-02T07:00:00Z' } })
    expect(routes.value.has('VAN-7')).toBe(false)
    onChange({ kind: 'route', id: 'r2', vehicle: 'VAN-7', revision: 3, stops: ['s1'], polyline: [], reason: 'jam' })
    expect(routes.value.get('VAN-7')).toMatchObject({ revision: 3, stops: ['s1'], state: 'queued' })
  })
})

describe('an insight', () => {
  const told = { kind: 'insight', id: 'i1', vehicle: 'VAN-7', topic: 'maintenance', severity: 'warning', text: 'The battery gets weak' } as const

  it('is said for a while, with the vehicle that it is about', () => {
    onChange(told)
    expect(insight.value).toMatchObject({ text: 'VAN-7: The battery gets weak', bad: true })
    vi.advanceTimersByTime(12_000)
    expect(insight.value).toBeNull()
  })

  it('may be about the whole fleet, and is cut where it is long', () => {
    onChange({ ...told, vehicle: null, severity: 'info', text: 'x'.repeat(300) })
    expect(insight.value).toMatchObject({ text: `${'x'.repeat(240)}…`, bad: false })
  })

  it('without a text is none', () => {
    insight.value = null
    onChange({ ...told, text: '' })
    expect(insight.value).toBeNull()
  })
})
