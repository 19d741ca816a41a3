/** What the dispatcher's page makes of lists that can not be read. */
import { beforeEach, describe, expect, it, vi } from 'vitest'

import { connect, loaded, orders, reload, stale } from '../../src/pages/dispatcher/state'

vi.mock('../../src/api/link', () => ({
  Link: class {
    subscribe = (): void => undefined
    start = (): void => undefined
  },
}))

/** Status of the answer to `/orders`; the other lists are there, and empty. */
let status = 200
const order = { id: 'o1', customer: 'Bakery', state: 'planned', vehicle: null, created: '', changed: '', stops: [] }

beforeEach(() => {
  vi.useFakeTimers()
  vi.stubGlobal('location', { search: '' })
  vi.stubGlobal('fetch', (path: string) => {
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
