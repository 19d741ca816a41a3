/** What the dispatcher's page makes of what can not be read, or is told in part. */
import { beforeEach, describe, expect, it, vi } from 'vitest'

import { connect, loaded, messages, onChange, orders, reload, stale } from '../../src/pages/dispatcher/state'

vi.mock('../../src/api/link', () => ({
  Link: class {
    subscribe = (): void => undefined
    start = (): void => undefined
  },
}))

/** Status of the answer to `/orders`; the other lists are there, and empty. */
let status = 200
/** Paths that were asked for. */
let asked: string[] = []
const order = { id: 'o1', customer: 'Bakery', state: 'planned', vehicle: null, created: '', changed: '', stops: [] }

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('location', { search: '' })
  asked = []
  vi.stubGlobal('fetch', (path: string) => {
    asked.push(path)
    const body = path.includes('/orders') ? (status === 200 ? { items: [order], next: null } : { detail: 'no' }) : { items: [], next: null }
    return Promise.resolve(new Response(JSON.stringify(body), { status: path.includes('/orders') ? status : 200 }))
  })
  loaded.value = stale.value = false
  orders.value = new Map()
  connect('T')
})

describe('orders', () => {
  it('that can not be read are no empty board: they are asked for again', async () => {
    status = 503
    await reload()
    expect([loaded.value, stale.value]).toEqual([false, true])
    status = 200
    await vi.advanceTimersByTimeAsync(5_000)
    expect([loaded.value, stale.value]).toEqual([true, false])
    expect([...orders.value.keys()]).toEqual(['o1'])
  })

  it('that are not for whoever looks are none', async () => {
    status = 403
    await reload()
    expect([loaded.value, stale.value]).toEqual([true, false])
  })
})

describe('a message', () => {
  const talks = (): number => asked.filter((path) => path.includes('/messages')).length
  const told = { kind: 'message', id: 'm1', vehicle: 'VAN-1', to_vehicle: true, body: 'hello' } as const

  it('of which half is told is asked for, and not shown', async () => {
    status = 200
    await reload()
    onChange({ ...told, expires_ms: null })
    expect([messages.value.size, talks()]).toEqual([0, 1])
    await vi.advanceTimersByTimeAsync(400)
    expect([messages.value.size, talks()]).toEqual([0, 2])
    await reload()
  })

  it('that is told in full is shown at once', async () => {
    await reload()
    onChange({ ...told, state: 'queued', created: '2026-03-02T07:00:00Z', changed: '2026-03-02T07:00:00Z' })
    await vi.advanceTimersByTimeAsync(400)
    expect([[...messages.value.keys()], talks()]).toEqual([['m1'], 1])
  })
})
