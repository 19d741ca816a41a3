/**
 * The live map session, without I/O: what the socket says goes in, what to do comes out of `take()`. Holds no clock, socket
 * or random numbers; time is monotonic milliseconds. The driver is `api/link.ts`.
 *
 * Invariant: `wanted` is what the page asked for. After a link is lost the server is asked to resume; what it no longer knows
 * is subscribed anew, so the page never asks twice.
 */
import { Backoff } from './backoff'
import { decodePositions, FrameError, type PositionRecord } from './binary'
import type { Change, Principal, ServerMessage, VehicleFeature } from './types'

export interface Viewport { west: number; south: number; east: number; north: number; zoom: number }

export const RECONNECT = { firstMs: 250, maxMs: 8_000 }
/** Silence after which we ask whether anybody is there, and after which we believe that nobody is. */
export const PING_AFTER_MS = 10_000
export const DEAD_AFTER_MS = 20_000
/** Where something is heard all the time, silence is odd sooner: after so many times the usual gap, but no sooner than that. */
const ODD_GAPS = 8
export const ODD_AFTER_MS = 2_000
/** The usual gap is a mean of so many, and unknown before. Messages that come together have none between them. */
const GAPS = 8
const GAP_MIN_MS = 50
/** Longest wait for an answer of a link that is in doubt. */
export const DOUBT_WITHIN_MS = 3_000
/** A session that is out of step with its server is begun anew at most so often. */
export const BEGIN_ANEW_EVERY_MS = 60_000
/** Longest wait for an open socket and a welcome. */
export const WELCOME_WITHIN_MS = 10_000

/** Close codes after which another attempt with the same token is useless. 4401 is none: it says that the token came too late. */
const FINAL_CODES: Record<number, string> = { 4403: 'revoked' }
/** "You were too slow" and "too many": come back, but not at once. */
const SLOW_CODES = new Set([4429, 4508])

export type LinkState = 'connecting' | 'live' | 'lost' | 'refused'

export type Effect =
  | { do: 'connect' }
  | { do: 'close' }
  | { do: 'send'; text: string }
  | { do: 'state'; state: LinkState; reason: string | null; retryAt: number | null }
  | { do: 'welcome'; principal: Principal; serverTimeMs: number; hub: string }
  | { do: 'features'; features: VehicleFeature[]; snapshot: boolean; details: boolean }
  | { do: 'restart' }
  | { do: 'gone'; vehicles: string[] }
  | { do: 'event'; event: Change }
  | { do: 'problem'; code: string; detail: string }

/** Where the decoded positions of a binary frame go: `id` is the vehicle's name. */
export type PositionSink = (id: string, record: PositionRecord) => void

export class Session {
  private effects: Effect[] = []
  private readonly topics = new Map<string, number>()
  private viewport: Viewport | null = null
  private readonly handles = new Map<number, string>()
  private readonly backoff = new Backoff(RECONNECT)
  private state: LinkState = 'lost'
  private session: string | null = null
  /** What the server calls the new session, until it is known whether that goes on where the old one was. */
  private fresh: string | null = null
  private seq = 0
  /** Changes of subscriptions by their ids, until they are answered: a link that dies may have lost them. */
  private readonly unanswered = new Map<number, Record<string, unknown>>()
  private nextId = 1
  private resumeId: number | null = null
  private retryAt: number | null = null
  private heardAt = 0
  /** Milliseconds between two messages, as they mostly are. */
  private usualGap = 0
  private gaps = 0
  private pingedAt: number | null = null
  /** The question that was asked in doubt, and until when it is to be answered: other messages may have lain about since before. */
  private doubted: { id: number; until: number } | null = null
  private closingReason: string | null = null
  private open = false
  private begunAnewAt: number | null = null

  constructor(private token: string | null, private readonly sink: PositionSink) {}

  /** What is to be done now, in order. */
  take(): Effect[] {
    const effects = this.effects
    this.effects = []
    return effects
  }

  linkState(): LinkState {
    return this.state
  }

  start(now: number): void {
    this.connect(now)
  }

  /** Uses another token from the next attempt on, for example after signing in again. */
  setToken(token: string | null, now: number): void {
    this.token = token
    this.session = null
    if (this.state === 'refused') this.connect(now)
  }

  /** Ends for good; `setToken` begins anew. */
  stop(): void {
    this.session = null
    this.retryAt = null
    if (this.open) this.effects.push({ do: 'close' })
    this.open = false
    this.setState('refused', 'stopped')
  }

  /** The browser says that the network is back: no use in waiting. */
  hurry(now: number): void {
    if (this.state === 'lost') this.connect(now)
  }

  /** The link may have died unheard, while the machine slept or changed its network: asks at once, and waits for the answer only briefly. */
  doubt(now: number): void {
    this.hurry(now)
    if (this.state !== 'live' || this.doubted !== null) return
    this.doubted = { id: this.send({ action: 'PING' }), until: now + DOUBT_WITHIN_MS }
  }

  subscribe(topic: string): void {
    const count = this.topics.get(topic) ?? 0
    this.topics.set(topic, count + 1)
    if (count === 0) this.sendWhenLive({ action: 'SUBSCRIBE', topic })
  }

  unsubscribe(topic: string): void {
    const count = this.topics.get(topic) ?? 0
    if (count === 0) return
    if (count > 1) {
      this.topics.set(topic, count - 1)
      return
    }
    this.topics.delete(topic)
    this.sendWhenLive({ action: 'UNSUBSCRIBE', topic })
  }

  setViewport(viewport: Viewport | null): void {
    if (viewport === null && this.viewport === null) return
    this.viewport = viewport
    this.sendWhenLive(viewport ? { action: 'SUBSCRIBE', viewport } : { action: 'UNSUBSCRIBE', viewport: true })
  }

  /** When `handleTimeout` is next due; null while nothing waits. */
  pollTimeout(): number | null {
    if (this.state === 'refused') return null
    if (this.retryAt !== null) return this.retryAt
    if (this.state === 'connecting') return this.heardAt + WELCOME_WITHIN_MS
    if (this.doubted !== null) return this.doubted.until
    return this.pingedAt === null ? this.heardAt + this.pingAfter() : this.pingedAt + DEAD_AFTER_MS - PING_AFTER_MS
  }

  /** Behind a router that has died a hub is heard again once it has heard from us: the sooner we ask, the better. */
  private pingAfter(): number {
    if (this.gaps < GAPS) return PING_AFTER_MS
    return Math.max(ODD_AFTER_MS, Math.min(PING_AFTER_MS, ODD_GAPS * this.usualGap))
  }

  handleTimeout(now: number): void {
    if (this.retryAt !== null) {
      if (now >= this.retryAt) this.connect(now)
    } else if (this.state === 'connecting') {
      if (now - this.heardAt >= WELCOME_WITHIN_MS) this.lose(now, 'no answer')
    } else if (this.state === 'live') {
      const deadAt = this.doubted?.until ?? (this.pingedAt === null ? Infinity : this.pingedAt + DEAD_AFTER_MS - PING_AFTER_MS)
      if (now >= deadAt) this.lose(now, 'silent')
      else if (this.pingedAt === null && now - this.heardAt >= this.pingAfter()) {
        this.pingedAt = now
        this.send({ action: 'PING' })
      }
    }
  }

  handleOpen(now: number): void {
    this.open = true
    this.heardAt = now
    if (this.token !== null) this.send({ action: 'AUTHENTICATE', token: this.token })
  }

  handleClose(now: number, code: number): void {
    this.open = false
    if (this.state === 'lost' && this.retryAt !== null) return
    const final = FINAL_CODES[code] ?? (this.closingReason === 'expired' || this.closingReason === 'revoked' ? this.closingReason : null)
    if (final !== null) {
      this.session = null
      this.retryAt = null
      this.setState('refused', this.closingReason ?? final)
      return
    }
    this.lose(now, this.closingReason ?? 'closed', SLOW_CODES.has(code) ? RECONNECT.maxMs : 0)
  }

  handleBinary(now: number, buffer: ArrayBuffer): void {
    this.heard(now)
    let unknown = 0
    try {
      const header = decodePositions(buffer, (record) => {
        const id = this.handles.get(record.handle)
        if (id !== undefined) this.sink(id, record)
        else unknown++
      })
      this.seq = header.seq
      if (unknown > 0) this.lostNames(now, unknown)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.effects.push({ do: 'problem', code: 'bad_frame', detail: error.message })
    }
  }

  handleText(now: number, text: string): void {
    this.heard(now)
    let message: ServerMessage | VehicleFeature
    try {
      message = JSON.parse(text) as ServerMessage | VehicleFeature
    } catch {
      this.effects.push({ do: 'problem', code: 'bad_json', detail: 'the server sent a text that is not JSON' })
      return
    }
    if ('seq' in message && typeof message.seq === 'number') this.seq = message.seq
    switch (message.type) {
      case 'welcome':
        this.welcomed(message)
        break
      case 'resumed':
        this.resumeId = null
        if (message.resumed) this.goOn()
        else this.subscribeAll()
        break
      case 'snapshot':
        this.effects.push({ do: 'features', features: message.features, snapshot: true, details: false })
        break
      case 'update':
        this.effects.push({ do: 'features', features: message.features, snapshot: false, details: false })
        break
      case 'details':
        this.effects.push({ do: 'features', features: message.features, snapshot: false, details: true })
        break
      case 'Feature':
        this.effects.push({ do: 'features', features: [message], snapshot: false, details: false })
        break
      case 'handles':
        for (const [handle, id] of Object.entries(message.handles)) this.handles.set(Number(handle), id)
        break
      case 'gone':
        this.effects.push({ do: 'gone', vehicles: message.vehicles })
        break
      case 'event':
        this.effects.push({ do: 'event', event: message.event })
        break
      case 'closing':
        this.closingReason = message.reason
        break
      case 'error':
        this.failed(message)
        break
      case 'subscribed':
      case 'unsubscribed':
        if (message.id !== undefined) this.unanswered.delete(message.id)
        break
      case 'pong':
        if (message.id === this.doubted?.id) this.doubted = null
        break
      default:
        // A later server may say more; what we do not know is not for us.
        break
    }
  }

  /** Positions of vehicles whose names never came can only be had by beginning anew; not over and over. */
  private lostNames(now: number, unknown: number): void {
    if (this.begunAnewAt !== null && now - this.begunAnewAt < BEGIN_ANEW_EVERY_MS) return
    this.begunAnewAt = now
    this.session = null
    this.effects.push({ do: 'problem', code: 'bad_frame', detail: `${unknown} positions of vehicles without a name` })
    this.lose(now, 'out of step')
  }

  private failed(message: Extract<ServerMessage, { type: 'error' }>): void {
    if (message.code === 'unauthenticated' || message.code === 'expired') this.closingReason = message.code
    if (message.id !== null && message.id === this.resumeId) {
      this.resumeId = null
      this.subscribeAll()
      return
    }
    const asked = message.id === null ? undefined : this.unanswered.get(message.id)
    if (message.id !== null) this.unanswered.delete(message.id)
    // It was left before: the answer had been lost.
    if (asked?.['action'] === 'UNSUBSCRIBE' && message.code === 'bad_topic') return
    this.effects.push({ do: 'problem', code: message.code, detail: message.detail })
  }

  private welcomed(message: Extract<ServerMessage, { type: 'welcome' }>): void {
    this.fresh = message.session
    this.backoff.reset()
    this.closingReason = null
    this.setState('live', null)
    this.effects.push({
      do: 'welcome', principal: message.principal, serverTimeMs: Date.parse(message.time), hub: message.hub,
    })
    if (this.session !== null) this.resumeId = this.send({ action: 'RESUME', session: this.session, seq: this.seq })
    else this.subscribeAll()
  }

  /** The server goes on where it was: what it may not have heard is said again, then what it can not have heard. */
  private goOn(): void {
    this.session = this.fresh
    const newest = new Map<string, Record<string, unknown>>()
    for (const action of [...this.unanswered.values(), ...this.late]) {
      newest.delete(subjectOf(action))
      newest.set(subjectOf(action), action)
    }
    this.unanswered.clear()
    this.late.length = 0
    for (const action of newest.values()) this.send(action)
  }

  private subscribeAll(): void {
    this.session = this.fresh
    this.handles.clear()
    this.unanswered.clear()
    this.late.length = 0
    this.effects.push({ do: 'restart' })
    for (const topic of this.topics.keys()) this.send({ action: 'SUBSCRIBE', topic })
    if (this.viewport) this.send({ action: 'SUBSCRIBE', viewport: this.viewport })
  }

  /**
   * Changes of subscriptions made while no link was there, which the resumed session does not know; bounded, for only the
   * newest per subject matters.
   */
  private readonly late: Record<string, unknown>[] = []

  private sendWhenLive(action: Record<string, unknown>): void {
    if (this.state === 'live' && this.resumeId === null) {
      this.send(action)
      return
    }
    if (this.session === null) return
    const at = this.late.findIndex((other) => subjectOf(other) === subjectOf(action))
    if (at >= 0) this.late.splice(at, 1)
    this.late.push(action)
  }

  private send(action: Record<string, unknown>): number {
    const id = this.nextId++
    if (action['action'] === 'SUBSCRIBE' || action['action'] === 'UNSUBSCRIBE') this.unanswered.set(id, action)
    this.effects.push({ do: 'send', text: JSON.stringify({ ...action, id }) })
    return id
  }

  private heard(now: number): void {
    const gap = now - this.heardAt
    if (gap >= GAP_MIN_MS) {
      this.gaps = Math.min(GAPS, this.gaps + 1)
      this.usualGap += (gap - this.usualGap) / this.gaps
    }
    this.heardAt = now
    this.pingedAt = null
  }

  private connect(now: number): void {
    this.retryAt = null
    this.heard(now)
    this.gaps = 0
    this.usualGap = 0
    this.doubted = null
    this.resumeId = null
    this.closingReason = null
    this.setState('connecting', null)
    this.effects.push({ do: 'connect' })
  }

  private lose(now: number, reason: string, atLeastMs = 0): void {
    this.retryAt = now + Math.max(atLeastMs, this.backoff.next(this.random()))
    if (this.open) this.effects.push({ do: 'close' })
    this.open = false
    this.setState('lost', reason)
  }

  /** Replaced by the driver with real random numbers; a test keeps it steady. */
  random: () => number = () => 0.5

  private setState(state: LinkState, reason: string | null): void {
    this.state = state
    this.effects.push({ do: 'state', state, reason, retryAt: this.retryAt })
  }
}

/** What a change of subscriptions is about: only the newest of each subject matters. */
function subjectOf(action: Record<string, unknown>): string {
  return 'viewport' in action ? 'viewport' : String(action['topic'])
}
