/** What the driver's page shows while the server does not answer, and of a route that the server does not know. */
import 'fake-indexeddb/auto'

import { beforeEach, describe, expect, it, vi } from 'vitest'

import type { LinkListener } from '../../src/api/link'
import { tokenMark } from '../../src/api/sign-in'
import { DriverStore } from '../../src/api/store'
import type { Change, Config, Order, Principal, Route } from '../../src/core/types'

type Page = typeof import('../../src/pages/driver/state')

const link = vi.hoisted(() => ({ listener: null as LinkListener | null }))
vi.mock('../../src/api/link', () => ({
  Link: class {
    constructor(_token: string, _form: string, listener: LinkListener) {
      link.listener = listener
    }
    subscribe = (): void => undefined
    start = (): void => undefined
  },
}))

const me: Principal = { sub: 'Ada', tenant: 'dev', role: 'driver', scopes: ['drive'], vehicle: 'VAN-1' }
const order: Order = {
  id: 'o1', customer: 'Bakery', state: 'assigned', vehicle: 'VAN-1', created: '', changed: '',
  stops: [{ id: 's1', sequence: 0, position: { lon: 25, lat: 60 }, state: 'planned', due_from: null, due_until: null }],
}
const config: Config = { name: 'Town', attribution: '', streets: { tiles: '' }, center: [25, 60], bounds: [24, 59, 26, 61], sign_in: 'token' }
const stored = (id: string, revision: number): Route => ({ id, revision, vehicle: 'VAN-1', stops: ['s1'], state: 'applied' })
const reloaded = vi.fn()
/** Bodies by the last word of a path; null is not found, and what is not here is never answered. */
let answers: Record<string, unknown> = {}
let store: DriverStore

/** A page that has just been opened. */
async function opened(): Promise<Page> {
  vi.resetModules()
  const page = await import('../../src/pages/driver/state')
  expect(await page.begin('T')).toBe(true)
  return page
}

/** Tells the page something, and waits until it has asked the server anew. */
async function tell(page: Page, change: Change): Promise<void> {
  const before = page.knownAt.value
  link.listener!.event(change)
  await vi.waitFor(() => expect(page.knownAt.value).not.toBe(before), 5_000)
}

async function keep(): Promise<void> {
  await store.keep('known', { mark: await tokenMark('T'), vehicle: 'VAN-1', me, orders: [order], messages: [], route: null, config, at: 1 })
}

beforeEach(async () => {
  indexedDB = new IDBFactory()
  store = await DriverStore.open()
  reloaded.mockClear()
  vi.stubGlobal('location', { reload: reloaded })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('fetch', (path: string) => {
    const name = path.endsWith('/route') ? 'route' : path.split(/[/?.]/)[3]!
    if (!(name in answers)) return new Promise(() => undefined)
    return Promise.resolve(new Response(JSON.stringify(answers[name] ?? {}), { status: answers[name] === null ? 404 : 200 }))
  })
})

describe('what was kept', () => {
  it('is shown at once, though nobody answers', async () => {
    await keep()
    answers = {}
    const page = await opened()
    expect([page.vehicleId.value, page.open.value.map((stop) => stop.id)]).toEqual(['VAN-1', ['s1']])
  })

  it('is dropped where the token leads to another vehicle by now', async () => {
    await keep()
    answers = { me: { ...me, vehicle: 'VAN-2' } }
    await opened()
    await vi.waitFor(() => expect(reloaded).toHaveBeenCalledOnce(), 5_000)
    expect(await store.kept('known')).toBeUndefined()
  })
})

describe('a route that was pushed', () => {
  const pushed: Change = { kind: 'route', id: 'pushed', vehicle: 'VAN-1', revision: 5, stops: ['s1'], reason: 'jam' }
  beforeEach(() => {
    answers = { me, orders: { items: [order], next: null }, messages: { items: [], next: null }, route: stored('old', 4), config }
  })

  it('stays until the store knows it', async () => {
    const page = await opened()
    expect(page.route.value?.id).toBe('old')
    await tell(page, pushed)
    expect(page.routeNews.value?.route.id).toBe('pushed')
    answers['route'] = stored('same', 5)
    await tell(page, { kind: 'order', id: 'o1' })
    expect(page.route.value?.id).toBe('same')
  })

  it('stays over a reload of the page, until it is over', async () => {
    answers['route'] = null
    await tell(await opened(), pushed)
    await vi.waitFor(async () => expect(await store.kept('known')).toMatchObject({ pushed: { id: 'pushed' } }), 5_000)
    const page = await opened()
    await tell(page, { kind: 'order', id: 'o1' })
    expect(page.route.value?.id).toBe('pushed')
    await tell(page, { kind: 'route', id: 'r', vehicle: 'VAN-1', revision: 5, state: 'expired' })
    expect(page.route.value).toBeNull()
  })
})
