import { describe, expect, it } from 'vitest'

import { Backoff } from '../../src/core/backoff'
import { DEAD_AFTER_MS, DOUBT_WITHIN_MS, ODD_AFTER_MS, PING_AFTER_MS, RECONNECT, Session, WELCOME_WITHIN_MS, type Effect } from '../../src/core/session'

class Wire {
  readonly positions: string[] = []
  readonly session = new Session('T', (id) => this.positions.push(id))
  now = 0

  take(): Effect[] {
    return this.session.take()
  }

  /** What was sent, parsed and without ids. */
  sent(): Record<string, unknown>[] {
    return this.take().filter((effect) => effect.do === 'send').map((effect) => {
      const message = JSON.parse((effect as { text: string }).text) as Record<string, unknown>
      delete message['id']
      return message
    })
  }

  say(message: unknown): void {
    this.session.handleText(this.now, JSON.stringify(message))
  }

  welcome(session = 'S1'): void {
    this.say({ type: 'welcome', session, hub: 'hub/0', time: '2026-03-02T07:00:00.000Z', tick_ms: 100, principal: { sub: 'a', tenant: 't', role: 'dispatcher', scopes: [], vehicle: null } })
  }

  /** Connected and welcomed, with every subscription answered. */
  live(...topics: string[]): this {
    this.session.start(this.now)
    for (const topic of topics) this.session.subscribe(topic)
    this.session.handleOpen(this.now)
    this.welcome()
    for (const effect of this.take()) {
      if (effect.do !== 'send') continue
      const { action, id, topic } = JSON.parse(effect.text) as { action: string; id: number; topic: string }
      if (action === 'SUBSCRIBE') this.say({ type: 'subscribed', id, topic, seq: 0 })
    }
    return this
  }
}

describe('session', () => {
  it('signs in with the first message and subscribes after the welcome', () => {
    const wire = new Wire()
    wire.session.start(0)
    wire.session.subscribe('live_updates:all')
    expect(wire.take().map((effect) => effect.do)).toEqual(['state', 'connect'])
    wire.session.handleOpen(1)
    expect(wire.sent()).toEqual([{ action: 'AUTHENTICATE', token: 'T' }])
    wire.welcome()
    expect(wire.sent()).toEqual([{ action: 'SUBSCRIBE', topic: 'live_updates:all' }])
    expect(wire.session.linkState()).toBe('live')
  })

  it('resumes after a lost link instead of subscribing', () => {
    const wire = new Wire().live('live_updates:all')
    wire.say({ type: 'update', seq: 17, features: [] })
    wire.session.handleClose(1000, 1006)
    const due = wire.session.pollTimeout()!
    expect(due).toBeGreaterThanOrEqual(1000 + RECONNECT.firstMs / 2)
    wire.session.handleTimeout(due)
    expect(wire.take().some((effect) => effect.do === 'connect')).toBe(true)
    wire.session.handleOpen(due)
    wire.take()
    wire.welcome('S2')
    expect(wire.sent()).toEqual([{ action: 'RESUME', session: 'S1', seq: 17 }])
    wire.say({ type: 'resumed', resumed: true, seq: 17 })
    expect(wire.take()).toEqual([])
  })

  it('subscribes anew where the server forgot the session', () => {
    const wire = new Wire().live('live_updates:all', 'events')
    wire.session.handleClose(10, 1001)
    wire.session.hurry(20)
    wire.session.handleOpen(20)
    wire.welcome('S2')
    wire.take()
    wire.say({ type: 'resumed', resumed: false, seq: 0 })
    const effects = wire.take()
    expect(effects[0]).toEqual({ do: 'restart' })
    expect(effects.filter((effect) => effect.do === 'send').map((effect) => (JSON.parse((effect as { text: string }).text) as { topic: string }).topic)).toEqual(['live_updates:all', 'events'])
  })

  it('what was asked for while the link was away is asked for after resuming', () => {
    const wire = new Wire().live('live_updates:all')
    wire.session.handleClose(10, 1006)
    wire.session.subscribe('vehicle:A')
    wire.session.unsubscribe('vehicle:A')
    wire.session.subscribe('vehicle:B')
    wire.session.hurry(20)
    wire.session.handleOpen(20)
    wire.welcome('S2')
    wire.session.setViewport({ west: 0, south: 0, east: 1, north: 1, zoom: 9 })
    expect(wire.sent().at(-1)).toMatchObject({ action: 'RESUME' })
    wire.say({ type: 'resumed', resumed: true, seq: 1 })
    expect(wire.sent()).toEqual([
      { action: 'UNSUBSCRIBE', topic: 'vehicle:A' }, { action: 'SUBSCRIBE', topic: 'vehicle:B' },
      { action: 'SUBSCRIBE', viewport: { west: 0, south: 0, east: 1, north: 1, zoom: 9 } },
    ])
  })

  describe('a link that dies under a change of subscriptions', () => {
    const again = (wire: Wire, session: string): Record<string, unknown>[] => {
      wire.session.handleClose(10, 1006)
      wire.session.hurry(20)
      wire.session.handleOpen(20)
      wire.take()
      wire.welcome(session)
      const sent = wire.sent()
      wire.say({ type: 'resumed', resumed: true, seq: 0 })
      return sent
    }

    it('is told of it again, in order, until it has answered', () => {
      const wire = new Wire()
      wire.session.start(0)
      wire.session.subscribe('live_updates:all')
      wire.session.subscribe('events')
      wire.session.handleOpen(1)
      wire.welcome()
      const ids = wire.take().filter((effect) => effect.do === 'send').map((effect) => (JSON.parse((effect as { text: string }).text) as { id: number }).id)
      wire.say({ type: 'subscribed', id: ids[2], topic: 'events', seq: 0 })
      expect(again(wire, 'S2')).toEqual([{ action: 'RESUME', session: 'S1', seq: 0 }])
      expect(wire.sent()).toEqual([{ action: 'SUBSCRIBE', topic: 'live_updates:all' }])
      wire.session.unsubscribe('live_updates:all')
      wire.session.subscribe('vehicle:A')
      wire.take()
      again(wire, 'S3')
      expect(wire.sent()).toEqual([{ action: 'UNSUBSCRIBE', topic: 'live_updates:all' }, { action: 'SUBSCRIBE', topic: 'vehicle:A' }])
    })

    it('may have left a topic before: that is no problem', () => {
      const wire = new Wire().live('vehicle:A')
      wire.session.unsubscribe('vehicle:A')
      again(wire, 'S2')
      const [sent] = wire.take().filter((effect) => effect.do === 'send')
      const { id } = JSON.parse((sent as { text: string }).text) as { id: number }
      wire.say({ type: 'error', id, code: 'bad_topic', detail: 'the session has no topic' })
      expect(wire.take()).toEqual([])
    })

    it('asks for the session that it knows until it goes on in another', () => {
      const wire = new Wire().live('events')
      wire.session.handleClose(10, 1006)
      wire.session.hurry(20)
      wire.session.handleOpen(20)
      wire.welcome('S2')
      // Nobody knows what became of the question: S2 may have no topics at all.
      expect(again(wire, 'S3')).toEqual([{ action: 'RESUME', session: 'S1', seq: 0 }])
    })
  })

  it('a topic wanted twice is subscribed once and left with the last', () => {
    const wire = new Wire().live()
    wire.session.subscribe('vehicle:A')
    wire.session.subscribe('vehicle:A')
    wire.session.unsubscribe('vehicle:A')
    expect(wire.sent()).toEqual([{ action: 'SUBSCRIBE', topic: 'vehicle:A' }])
    wire.session.unsubscribe('vehicle:A')
    expect(wire.sent()).toEqual([{ action: 'UNSUBSCRIBE', topic: 'vehicle:A' }])
  })

  it('asks a silent server whether it lives, then gives it up', () => {
    const wire = new Wire().live()
    expect(wire.session.pollTimeout()).toBe(PING_AFTER_MS)
    wire.session.handleTimeout(PING_AFTER_MS)
    expect(wire.sent()).toEqual([{ action: 'PING' }])
    wire.session.handleTimeout(DEAD_AFTER_MS)
    expect(wire.take().map((effect) => effect.do)).toEqual(['close', 'state'])
    expect(wire.session.linkState()).toBe('lost')
  })

  it('asks sooner where something is heard all the time', () => {
    const wire = new Wire().live()
    const hear = (now: number): void => wire.session.handleText(now, JSON.stringify({ type: 'update', seq: 1, features: [] }))
    // What comes together is one thing that is heard.
    for (let n = 0; n < 100; n++) hear(1)
    expect(wire.session.pollTimeout()).toBe(1 + PING_AFTER_MS)
    for (let now = 100; now <= 1_000; now += 100) hear(now)
    const asked = 1_000 + ODD_AFTER_MS
    expect(wire.session.pollTimeout()).toBe(asked)
    wire.take()
    wire.session.handleTimeout(asked)
    expect(wire.sent()).toEqual([{ action: 'PING' }])
    const dead = asked + DEAD_AFTER_MS - PING_AFTER_MS
    expect(wire.session.pollTimeout()).toBe(dead)
    hear(dead - 1)
    // Little is said any more: silence is as it should be.
    const last = dead + 100_000
    for (let now = dead + 5_000; now <= last; now += 5_000) hear(now)
    expect(wire.session.pollTimeout()).toBe(last + PING_AFTER_MS)
    wire.session.handleTimeout(last + PING_AFTER_MS)
    wire.session.handleTimeout(last + DEAD_AFTER_MS)
    expect(wire.session.linkState()).toBe('lost')
  })

  it('a link in doubt answers at once, or is given up', () => {
    const wire = new Wire().live()
    wire.session.doubt(1000)
    const ping = wire.take()
    expect(ping).toHaveLength(1)
    const { action, id } = JSON.parse((ping[0] as { text: string }).text) as { action: string; id: number }
    expect(action).toBe('PING')
    wire.session.doubt(1500)
    expect(wire.take()).toEqual([])
    // What had come before the machine slept is read only now, and says nothing of the link.
    wire.say({ type: 'update', seq: 1, features: [] })
    expect(wire.session.pollTimeout()).toBe(1000 + DOUBT_WITHIN_MS)
    wire.say({ type: 'pong', id })
    expect(wire.session.pollTimeout()).toBe(PING_AFTER_MS)
    wire.session.doubt(5000)
    wire.session.handleTimeout(5000 + DOUBT_WITHIN_MS)
    expect(wire.session.linkState()).toBe('lost')
    // One that is lost is not waited for.
    wire.session.doubt(5000 + DOUBT_WITHIN_MS)
    expect(wire.session.linkState()).toBe('connecting')
  })

  it('does not wait for ever for a welcome', () => {
    const wire = new Wire()
    wire.session.start(0)
    wire.session.handleTimeout(WELCOME_WITHIN_MS)
    expect(wire.session.linkState()).toBe('lost')
    expect(wire.session.pollTimeout()).toBeGreaterThan(WELCOME_WITHIN_MS)
  })

  it('a token that is not believed is not shown again', () => {
    const wire = new Wire()
    wire.session.start(0)
    wire.session.handleOpen(1)
    wire.say({ type: 'error', id: 1, code: 'unauthenticated', detail: 'unknown' })
    wire.session.handleClose(5, 4403)
    expect(wire.take().at(-1)).toMatchObject({ do: 'state', state: 'refused', reason: 'unauthenticated' })
    expect(wire.session.pollTimeout()).toBeNull()
  })

  it('a token that came too late is shown again', () => {
    const wire = new Wire()
    wire.session.start(0)
    wire.say({ type: 'closing', reason: 'unauthenticated' })
    wire.session.handleClose(5000, 4401)
    expect(wire.take().at(-1)).toMatchObject({ do: 'state', state: 'lost' })
    expect(wire.session.pollTimeout()).toBeGreaterThan(5000)
  })

  it('a server that drains is left and found again', () => {
    const wire = new Wire().live()
    wire.say({ type: 'closing', reason: 'draining' })
    wire.session.handleClose(5, 1001)
    expect(wire.take().at(-1)).toMatchObject({ state: 'lost', reason: 'draining' })
  })

  it('a client that was too slow waits longer', () => {
    const wire = new Wire().live()
    wire.session.handleClose(0, 4508)
    expect(wire.session.pollTimeout()).toBeGreaterThanOrEqual(RECONNECT.maxMs)
  })

  const frameOf = (...handles: number[]): ArrayBuffer => {
    const frame = new DataView(new ArrayBuffer(16 + 24 * handles.length))
    frame.setUint8(0, 1)
    frame.setUint16(2, 24, true)
    frame.setUint32(4, 9, true)
    handles.forEach((handle, at) => frame.setUint32(16 + 24 * at, handle, true))
    return frame.buffer
  }

  it('a cut frame does no harm', () => {
    const wire = new Wire().live()
    wire.say({ type: 'handles', handles: { 1: 'VAN-1' } })
    wire.session.handleBinary(1, new ArrayBuffer(3))
    expect(wire.take().at(-1)).toMatchObject({ do: 'problem', code: 'bad_frame' })
    wire.session.handleBinary(1, frameOf(1))
    expect(wire.positions).toEqual(['VAN-1'])
    expect(wire.session.linkState()).toBe('live')
  })

  it('positions without a name begin the session anew, but not over and over', () => {
    const wire = new Wire().live('live_updates:all')
    wire.session.handleBinary(1, frameOf(99))
    expect(wire.session.linkState()).toBe('lost')
    wire.session.hurry(2)
    wire.session.handleOpen(2)
    wire.take()
    wire.welcome('S2')
    expect(wire.sent()).toEqual([{ action: 'SUBSCRIBE', topic: 'live_updates:all' }])
    wire.session.handleBinary(3, frameOf(99))
    expect(wire.session.linkState()).toBe('live')
  })
})

describe('waits between attempts', () => {
  it('double up to their bound, with jitter between half and all', () => {
    const backoff = new Backoff({ firstMs: 100, maxMs: 1000 })
    expect([0, 0, 0, 0, 0, 0].map(() => backoff.next(1 - 1e-9)).map(Math.round)).toEqual([100, 200, 400, 800, 1000, 1000])
    expect(backoff.next(0)).toBe(500)
    backoff.reset()
    expect(backoff.next(0)).toBe(50)
  })
})
