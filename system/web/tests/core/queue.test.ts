import 'fake-indexeddb/auto'

import { beforeEach, describe, expect, it } from 'vitest'

import { tokenMark } from '../../src/api/sign-in'
import { DriverStore } from '../../src/api/store'
import { DraftKey } from '../../src/core/draft-key'
import { accepted, driverMessages, driverStops, isAhead, keptUnder, settingOut, stepsOf, wayTo } from '../../src/core/driver'
import { judge, OfflineQueue, type Queued, type QueueView, type Sent } from '../../src/core/queue'
import type { Order } from '../../src/core/types'

const entry = (key: string, more: Partial<Queued> = {}): Queued => ({
  key, at: '2026-03-02T07:00:00.000Z', path: '/stops/s1/state', body: { from: 'planned', to: 'arrived' }, subject: 's1', attempts: 0, owner: 'VAN-1', ...more,
})

class Server {
  online = true
  readonly got: string[] = []
  readonly answers = new Map<string, Sent>()
  views: QueueView[] = []
  send = (each: Queued): Promise<Sent> => {
    if (!this.online) return Promise.resolve({ outcome: 'later', detail: 'no answer' })
    this.got.push(each.key)
    return Promise.resolve(this.answers.get(each.key) ?? { outcome: 'done' })
  }
}

let store: DriverStore
let server: Server
const queue = (): OfflineQueue => new OfflineQueue(store.queue('VAN-1'), server.send, (view) => server.views.push(view))
const view = (): QueueView => server.views.at(-1)!

beforeEach(async () => {
  indexedDB = new IDBFactory()
  store = await DriverStore.open()
  server = new Server()
})

describe('offline queue', () => {
  it('what is tapped offline is sent later, in order, with its own time and key', async () => {
    const mine = queue()
    server.online = false
    for (const key of ['a', 'b', 'c']) await mine.add(entry(key))
    await mine.flush()
    expect(server.got).toEqual([])
    expect(view().waiting.map((each) => each.key)).toEqual(['a', 'b', 'c'])
    expect(view().trouble).toBe('no answer')
    server.online = true
    await mine.flush()
    expect(server.got).toEqual(['a', 'b', 'c'])
    expect(view()).toMatchObject({ waiting: [], refused: [], trouble: null })
  })

  it('it outlives the page', async () => {
    server.online = false
    const first = queue()
    await first.add(entry('a'))
    await first.add(entry('b', { at: '2026-03-02T07:05:00.000Z' }))
    const second = queue()
    await second.load()
    expect(view().waiting).toMatchObject([{ key: 'a', at: '2026-03-02T07:00:00.000Z' }, { key: 'b', at: '2026-03-02T07:05:00.000Z' }])
    server.online = true
    await second.flush()
    expect(server.got).toEqual(['a', 'b'])
    const third = queue()
    await third.load()
    expect(view().waiting).toEqual([])
  })

  it('another driver on the same phone does not send it', async () => {
    server.online = false
    await queue().add(entry('a'))
    expect(await store.queue('VAN-2').all()).toEqual([])
    expect(await store.queue('VAN-1').all()).toHaveLength(1)
  })

  it('what is refused for good is said and does not hold up the rest', async () => {
    server.answers.set('a', { outcome: 'refused', detail: 'it is done' })
    const mine = queue()
    await mine.add(entry('a'))
    await mine.add(entry('b'))
    await mine.flush()
    expect(server.got).toEqual(['a', 'b'])
    expect(view().refused).toMatchObject([{ entry: { key: 'a' }, detail: 'it is done' }])
    mine.dismiss('a')
    expect(view().refused).toEqual([])
  })

  it('what the page says of itself is refused in silence', async () => {
    server.answers.set('a', { outcome: 'refused', detail: 'it was said already' })
    const mine = queue()
    await mine.add(entry('a', { quiet: true }))
    await mine.flush()
    expect(view()).toMatchObject({ waiting: [], refused: [] })
  })

  it('a store that keeps nothing any more loses no tap and holds up nothing', async () => {
    const broken = (): Promise<never> => Promise.reject(new Error('the connection is gone'))
    const mine = new OfflineQueue({ all: broken, put: broken, remove: broken }, server.send, (view) => server.views.push(view))
    server.online = false
    await mine.load()
    expect(view()).toMatchObject({ waiting: [], trouble: 'Error: the connection is gone' })
    await mine.add(entry('a'))
    expect(view()).toMatchObject({ waiting: [{ key: 'a' }], trouble: 'Error: the connection is gone' })
    await mine.flush()
    server.online = true
    await mine.flush()
    await mine.add(entry('b'))
    await mine.flush()
    expect(server.got).toEqual(['a', 'b'])
    expect(view().waiting).toEqual([])
  })

  it('a connection to the store that broke off is opened anew', async () => {
    server.online = false
    const mine = queue()
    await mine.add(entry('a'))
    // As Safari does to pages in the background; what is asked of it from then on fails.
    ;(await store['database']).close()
    await Promise.all([mine.add(entry('b')), mine.add(entry('c')), store.keep('known', 7)])
    expect(await store.kept('known')).toBe(7)
    expect((await store.queue('VAN-1').all()).map((each) => each.key)).toEqual(['a', 'b', 'c'])
    ;(await store['database']).close()
    server.online = true
    await mine.flush()
    expect(await store.queue('VAN-1').all()).toEqual([])
  })

  it('two flushes at once send nothing twice', async () => {
    const mine = queue()
    server.online = false
    await mine.add(entry('a'))
    await mine.flush()
    server.online = true
    await Promise.all([mine.flush(), mine.flush(), mine.flush()])
    expect(server.got).toEqual(['a'])
  })

  it.each([
    [200, undefined, {}, 'done'], [409, 'arrived', { state: 'arrived' }, 'done'], [409, 'arrived', { state: 'done' }, 'refused'], [422, undefined, {}, 'refused'],
    [0, undefined, {}, 'later'], [503, undefined, {}, 'later'], [429, undefined, {}, 'later'], [401, undefined, {}, 'later'],
  ] as const)('an answer of %i with %s and %o is %s', (status, wished, problem, outcome) => {
    expect(judge(status, wished, problem).outcome).toBe(outcome)
  })
})

describe('the key of what is written', () => {
  const lost = (status: number) => (): Promise<never> => Promise.reject(Object.assign(new Error(), { status }))
  const used: string[] = []
  const note = (key: string): Promise<void> => Promise.resolve(void used.push(key))
  const failing = (status: number) => async (key: string): Promise<void> => {
    await note(key)
    await lost(status)()
  }
  const check = async (first: (key: string) => Promise<void>, content: string, expected: string[]): Promise<void> => {
    used.length = 0
    let n = 0
    const key = new DraftKey(() => `key ${++n}`)
    await key.use('hello', first).catch(() => undefined)
    await key.use(content, note)
    expect(used).toEqual(expected)
  }

  it('is the same for a repeat after a lost answer', () => check(failing(0), 'hello', ['key 1', 'key 1']))
  it('and where the server could not say what became of it', () => check(failing(503), 'hello', ['key 1', 'key 1']))
  it('is another once that is carried out', () => check(note, 'hello', ['key 1', 'key 2']))
  it('is another once that is refused', () => check(failing(422), 'hello', ['key 1', 'key 2']))
  it('is another for what is written anew', () => check(failing(0), 'hello again', ['key 1', 'key 2']))
})

describe('what was kept', () => {
  it('is shown to whoever kept it alone', async () => {
    const [mine, other] = [await tokenMark('token of Ada'), await tokenMark('token of Bob')]
    expect(mine).toMatch(/^[0-9a-f]{16}$/)
    await store.keep('known', { mark: mine, vehicle: 'VAN-1' })
    const kept = await store.kept<{ mark: string; vehicle: string }>('known')
    expect(keptUnder(kept, mine)).toMatchObject({ vehicle: 'VAN-1' })
    expect(keptUnder(kept, other)).toBeUndefined()
    // Without marks nobody can tell.
    expect(keptUnder({ mark: null }, null)).toBeUndefined()
    expect(keptUnder({}, mine)).toBeUndefined()
  })
})

describe('what the driver sees', () => {
  const order: Order = {
    id: 'o1', customer: 'Bakery', state: 'assigned', vehicle: 'VAN-1', created: '', changed: '',
    stops: [{ id: 's1', sequence: 0, position: { lon: 25, lat: 60 }, state: 'planned', due_from: null, due_until: null }],
  }
  it('is as it will be when everything is sent', () => {
    const [stop] = driverStops([order], [], [entry('a'), entry('b', { at: '2026-03-02T07:09:00.000Z', body: { from: 'arrived', to: 'done' } })])
    expect(stop).toMatchObject({ state: 'done', waiting: true, done: '2026-03-02T07:09:00.000Z' })
  })
  it('stays where the driver has arrived when a new route begins elsewhere', () => {
    const two: Order = { ...order, stops: [order.stops[0]!, { ...order.stops[0]!, id: 's2', sequence: 1 }] }
    expect(driverStops([two], ['s2', 's1'], [entry('a')]).map((stop) => [stop.id, stop.state])).toEqual([['s1', 'arrived'], ['s2', 'planned']])
  })
  it('is not ahead once the order has ended without it', () => {
    const ahead = (state: Order['state']): boolean => driverStops([{ ...order, state }], [], []).some(isAhead)
    expect((['assigned', 'under_way', 'failed'] as const).map(ahead)).toEqual([true, true, false])
    expect(driverStops([order], [], [entry('a', { body: { to: 'done' } })]).some(isAhead)).toBe(false)
  })
  it('does not jump back between the answer and the next reading', () => {
    const sent = [entry('a', { path: '/orders/o1/state', subject: 'o1', body: { to: 'under_way' } }), entry('b')]
    const after = sent.reduce((orders, each) => accepted(orders, each), [order])
    expect(driverStops(after, [], [])).toEqual(driverStops([order], [], sent).map((stop) => ({ ...stop, waiting: false, changed: sent[1]!.at, arrived: undefined })).map(({ arrived: _, ...stop }) => stop))
    expect(order.stops[0]!.state).toBe('planned')
  })
  it('an order follows its stops: under way with the first, at its end with the last', () => {
    const two: Order = { ...order, stops: [order.stops[0]!, { ...order.stops[0]!, id: 's2', sequence: 1 }] }
    const before = driverStops([two], [], [])
    expect(stepsOf(before[0]!, 'arrived', before).map((step) => [step.path, step.body['to']])).toEqual([['/orders/o1/state', 'under_way'], ['/stops/s1/state', 'arrived']])
    expect(stepsOf(before[0]!, 'arrived', before)[1]!.body).toEqual({ from: 'planned', to: 'arrived', order: 'o1' })
    const waiting = [entry('a', { path: '/orders/o1/state', subject: 'o1', body: { to: 'under_way' } }), entry('b', { body: { to: 'done' } })]
    const later = driverStops([two], [], waiting)
    expect(settingOut(later[1]!)).toEqual([])
    expect(stepsOf(later[1]!, 'skipped', later).map((step) => [step.path, step.body['to']])).toEqual([['/stops/s2/state', 'skipped'], ['/orders/o1/state', 'delivered']])
    expect(stepsOf(before[0]!, 'skipped', [before[0]!]).at(-1)!.body).toEqual({ from: 'under_way', to: 'failed' })
  })
  it.each([
    ['Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/143.0 Mobile Safari/537.36', 'geo:60.17,24.94?q=60.17,24.94'],
    ['Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1', 'https://maps.apple.com/?daddr=60.17,24.94'],
    ['Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15', 'https://maps.apple.com/?daddr=60.17,24.94'],
  ])('has a way that the map of the device understands: %s', (userAgent, link) => {
    expect(wayTo({ lat: 60.17, lon: 24.94 }, userAgent)).toBe(link)
  })
  it('has unsent messages among the others', () => {
    const list = driverMessages([], [entry('m', { path: '/messages', body: { body: 'late' } })])
    expect(list).toMatchObject([{ body: 'late', waiting: true, to_vehicle: false }])
  })
})
