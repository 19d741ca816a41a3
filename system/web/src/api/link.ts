/** The driver of `core/session`: owns what carries it and the timer, and stays dull. */
import type { PositionRecord } from '../core/binary'
import { Home } from '../core/home'
import { SleepWatch } from '../core/sleep'
import { Session, type Effect, type LinkState, type Viewport } from '../core/session'
import type { Change, Principal, VehicleFeature } from '../core/types'
import { openCarrier, type Carrier, type CarrierListener, type Form } from './carrier'

export interface LinkListener {
  position(id: string, record: PositionRecord): void
  features(features: VehicleFeature[], snapshot: boolean, details: boolean): void
  gone(vehicles: string[]): void
  event(change: Change): void
  state(state: LinkState, reason: string | null, retryAt: number | null): void
  /** By which hub the session is taken. */
  welcome(principal: Principal, serverTimeMs: number, hub: string): void
  /** Snapshots follow: what is not told again may be gone. */
  restart(): void
  problem(code: string, detail: string): void
  /** The machine has slept, and the monotonic clock has missed so many milliseconds. */
  slept(ms: number): void
}

const LOOK_EVERY_MS = 1000

export class Link {
  private carrier: Carrier | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private readonly session: Session
  private readonly home = new Home()
  /** Where the attempt goes that was not welcomed yet; undefined if there is none. */
  private trying: string | null | undefined

  constructor(token: string | null, private readonly form: Form, private readonly listener: LinkListener) {
    this.session = new Session(token, (id, record) => listener.position(id, record))
    this.session.random = Math.random
    addEventListener('online', () => this.doubt())
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.doubt()
    })
    const watch = new SleepWatch(Date.now(), performance.now())
    setInterval(() => {
      const ms = watch.look(Date.now(), performance.now())
      if (ms === 0) return
      listener.slept(ms)
      this.doubt()
    }, LOOK_EVERY_MS)
  }

  start(): void {
    this.run((now) => this.session.start(now))
  }

  subscribe(topic: string): void {
    this.run(() => this.session.subscribe(topic))
  }

  unsubscribe(topic: string): void {
    this.run(() => this.session.unsubscribe(topic))
  }

  setViewport(viewport: Viewport | null): void {
    this.run(() => this.session.setViewport(viewport))
  }

  /** Where the next attempt goes first; null is where the page comes from. */
  goTo(origin: string | null): void {
    this.home.set(origin)
  }

  setToken(token: string | null): void {
    this.run((now) => this.session.setToken(token, now))
  }

  stop(): void {
    this.run(() => this.session.stop())
  }

  /** Tries at once instead of waiting. */
  hurry(): void {
    this.run((now) => this.session.hurry(now))
  }

  /** Asks whether the link still lives; one that is lost is tried again at once. */
  private doubt(): void {
    this.run((now) => this.session.doubt(now))
  }

  private run(work: (now: number) => void): void {
    work(performance.now())
    for (const effect of this.session.take()) this.perform(effect)
    clearTimeout(this.timer)
    const due = this.session.pollTimeout()
    if (due !== null) this.timer = setTimeout(() => this.run((now) => this.session.handleTimeout(now)), Math.max(5, due - performance.now()))
  }

  private perform(effect: Effect): void {
    const { listener } = this
    switch (effect.do) {
      case 'connect': return this.connect()
      case 'close': return this.drop()
      case 'send': return this.carrier?.send(effect.text)
      case 'state': return listener.state(effect.state, effect.reason, effect.retryAt)
      case 'welcome':
        this.trying = undefined
        this.home.opened()
        return listener.welcome(effect.principal, effect.serverTimeMs, effect.hub)
      case 'features': return listener.features(effect.features, effect.snapshot, effect.details)
      case 'restart': return listener.restart()
      case 'gone': return listener.gone(effect.vehicles)
      case 'event': return listener.event(effect.event)
      case 'problem': return listener.problem(effect.code, effect.detail)
    }
  }

  private connect(): void {
    this.drop()
    // Whoever drops packets, or takes a connection and stays silent, never closes it.
    if (this.trying !== undefined) this.home.missed(this.trying)
    this.trying = this.home.next()
    // One that was given up may still speak: it is not listened to.
    const mine = (work: (now: number) => void) => {
      if (this.carrier === carrier) this.run(work)
    }
    const listener: CarrierListener = {
      opened: (kind) => mine((now) => {
        document.documentElement.dataset['carrier'] = kind
        this.session.handleOpen(now)
      }),
      text: (text) => mine((now) => this.session.handleText(now, text)),
      binary: (bytes) => mine((now) => this.session.handleBinary(now, bytes)),
      closed: (code) => mine((now) => {
        this.carrier = null
        this.session.handleClose(now, code)
      }),
    }
    const carrier = openCarrier(this.form, listener, this.trying)
    this.carrier = carrier
  }

  private drop(): void {
    const carrier = this.carrier
    this.carrier = null
    delete document.documentElement.dataset['carrier']
    carrier?.close()
  }
}
