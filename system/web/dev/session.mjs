/** The live map session of one socket: JSON, one FeatureCollection per tick, or binary. */
import { randomBytes } from 'node:crypto'

const KEEP_MS = 60_000
const STATUS = { moving: 0, idling: 1, stopped: 2, silent: 3 }
const SNAPSHOT_FEATURES = 1000

export class Sessions {
  constructor(world, auth) {
    this.world = world
    this.auth = auth
    this.live = new Set()
    this.kept = new Map()
    this.onTick = (reported, now) => this.tick(reported, now)
    this.onChange = (change) => {
      for (const session of this.live) session.event(change)
    }
    world.listeners.add(this.onTick)
    world.desk.listeners.add(this.onChange)
  }

  close() {
    this.world.listeners.delete(this.onTick)
    this.world.desk.listeners.delete(this.onChange)
    for (const session of this.live) session.socket.terminate()
  }

  accept(socket, bearer) {
    const session = new Session(this, socket)
    this.live.add(session)
    if (bearer) session.authenticate(null, bearer)
    else session.timer = setTimeout(() => session.end('unauthenticated', 4401), 5_000)
    socket.on('message', (data, binary) => (binary ? socket.close(1003) : session.receive(String(data))))
    socket.on('close', () => {
      clearTimeout(session.timer)
      this.live.delete(session)
      this.kept.set(session.id, { topics: session.topics, viewport: session.viewport, until: Date.now() + KEEP_MS })
    })
    socket.on('error', () => socket.terminate())
  }

  tick(reported, now) {
    for (const vehicle of this.world.byIndex) {
      const silent = vehicle.status(now) === 'silent'
      if (silent && !vehicle.toldSilent) reported = [...reported, vehicle]
      vehicle.toldSilent = silent
    }
    for (const session of this.live) session.push(reported, now)
  }
}

class Session {
  constructor(sessions, socket) {
    this.sessions = sessions
    this.world = sessions.world
    this.socket = socket
    this.id = randomBytes(12).toString('hex')
    this.seq = 0
    this.topics = new Set()
    this.viewport = null
    this.handles = new Map()
    this.inView = new Set()
    this.binary = socket.protocol === 'drover.bin'
    this.plain = socket.protocol === ''
  }

  send(message) {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(message))
  }

  end(reason, code) {
    this.send({ type: 'closing', reason })
    this.socket.close(code, reason)
  }

  fail(id, code, detail) {
    this.send({ type: 'error', id: id ?? null, code, detail })
  }

  authenticate(id, token) {
    const principal = this.sessions.auth(token)
    if (!principal) {
      this.fail(id, 'unauthenticated', 'the token is not known or has expired')
      return this.socket.close(4403, 'denied')
    }
    clearTimeout(this.timer)
    this.principal = principal
    const { link, ...shown } = principal
    this.link = link
    this.send({ type: 'welcome', session: this.id, hub: 'hub/0', time: new Date().toISOString(), tick_ms: 100, principal: shown })
    return undefined
  }

  receive(text) {
    let message
    try {
      message = JSON.parse(text)
    } catch {
      return this.fail(null, 'bad_json', 'the message is not JSON')
    }
    const { action, id } = message
    if (action === 'AUTHENTICATE') return this.authenticate(id, message.token)
    if (!this.principal) return this.fail(id, 'unauthenticated', 'send AUTHENTICATE first')
    if (action === 'PING') return this.send({ type: 'pong', id })
    if (action === 'RESUME') return this.resume(id, message)
    if (action === 'SUBSCRIBE' && message.viewport) return this.look(id, message.viewport)
    if (action === 'SUBSCRIBE') return this.subscribe(id, message.topic)
    if (action === 'UNSUBSCRIBE') {
      if (message.viewport) this.viewport = null
      else this.topics.delete(message.topic)
      return this.send({ type: 'unsubscribed', id, topic: message.topic })
    }
    return this.fail(id, 'unknown_action', `there is no action ${action}`)
  }

  resume(id, { session }) {
    const kept = this.sessions.kept.get(session)
    const resumed = kept !== undefined && kept.until > Date.now()
    this.sessions.kept.delete(session)
    if (resumed) {
      this.topics = kept.topics
      this.viewport = kept.viewport
    }
    this.send({ type: 'resumed', id, resumed, seq: this.seq })
    if (resumed) this.positions(this.world.byIndex.filter((vehicle) => this.wants(vehicle)), Date.now(), false)
  }

  subscribe(id, topic) {
    if (!/^(live_updates:all|vehicle:.+|vehicles:.+|group:.+|events)$/.test(topic ?? '')) return this.fail(id, 'bad_topic', `no topic ${topic}`)
    if (this.link && topic !== 'live_updates:all') return this.fail(id, 'forbidden', `${topic} is not for you`)
    this.topics.add(topic)
    this.send({ type: 'subscribed', id, topic, seq: this.seq })
    if (topic !== 'events') this.snapshot(topic, this.world.byIndex.filter((vehicle) => matches(topic, vehicle) && this.mayUse(vehicle)))
    return undefined
  }

  look(id, viewport) {
    this.viewport = viewport
    this.send({ type: 'subscribed', id, topic: 'viewport', seq: this.seq })
    this.snapshot('viewport', this.world.byIndex.filter((vehicle) => inside(viewport, vehicle) && this.mayUse(vehicle)))
  }

  snapshot(topic, vehicles) {
    const known = vehicles.filter((vehicle) => vehicle.fix)
    if (this.binary) this.positions(known, Date.now(), true)
    else {
      for (let at = 0; at < Math.max(1, known.length); at += SNAPSHOT_FEATURES) {
        const features = known.slice(at, at + SNAPSHOT_FEATURES).map((vehicle) => this.feature(vehicle, Date.now()))
        this.send({ type: 'snapshot', topic, seq: ++this.seq, features, more: at + SNAPSHOT_FEATURES < known.length })
      }
    }
    this.details(known.filter((vehicle) => this.detailed(vehicle)))
  }

  mayUse(vehicle) {
    if (this.link) return this.sessions.world.shareOpen(this.link) === vehicle.id
    return this.principal.vehicle === null || this.principal.vehicle === vehicle.id
  }

  wants(vehicle) {
    if (!this.mayUse(vehicle)) return false
    for (const topic of this.topics) if (matches(topic, vehicle)) return true
    return this.viewport !== null && inside(this.viewport, vehicle)
  }

  detailed(vehicle) {
    return this.topics.has(`vehicle:${vehicle.id}`) && this.principal.scopes.includes('fleet:view')
  }

  push(reported, now) {
    if (!this.principal || (this.topics.size === 0 && !this.viewport)) return
    this.leave()
    const wanted = reported.filter((vehicle) => this.wants(vehicle))
    if (wanted.length === 0) return
    this.positions(wanted, now, false)
    this.details(wanted.filter((vehicle) => this.detailed(vehicle)))
  }

  /** Says which vehicles are not to be seen any more. */
  leave() {
    if (this.link) {
      const open = this.sessions.world.shareOpen(this.link) !== null
      if (this.wasOpen && !open) this.send({ type: 'gone', seq: ++this.seq, vehicles: ['delivery'] })
      this.wasOpen = open
    }
  }

  positions(vehicles, now, snapshot) {
    if (vehicles.length === 0) return
    if (this.binary && !this.link) return this.frame(vehicles, now, snapshot)
    const features = vehicles.map((vehicle) => this.feature(vehicle, now))
    if (this.plain) for (const feature of features) this.send(feature)
    else this.send({ type: 'update', seq: ++this.seq, features })
    return undefined
  }

  frame(vehicles, now, snapshot) {
    const fresh = {}
    for (const vehicle of vehicles) {
      if (!this.handles.has(vehicle.id)) {
        this.handles.set(vehicle.id, this.handles.size + 1)
        fresh[this.handles.get(vehicle.id)] = vehicle.id
      }
    }
    if (Object.keys(fresh).length) this.send({ type: 'handles', handles: fresh })
    const bytes = Buffer.alloc(16 + 24 * vehicles.length)
    bytes.writeUInt8(1, 0)
    bytes.writeUInt8(snapshot ? 1 : 0, 1)
    bytes.writeUInt16LE(24, 2)
    bytes.writeUInt32LE(++this.seq, 4)
    bytes.writeDoubleLE(now, 8)
    vehicles.forEach((vehicle, index) => {
      const at = 16 + 24 * index
      const { fix } = vehicle
      bytes.writeUInt32LE(this.handles.get(vehicle.id), at)
      bytes.writeInt32LE(Math.round(fix.lon * 1e7), at + 4)
      bytes.writeInt32LE(Math.round(fix.lat * 1e7), at + 8)
      bytes.writeUInt16LE(Math.min(65534, Math.round(fix.kmh / 0.036)), at + 12)
      bytes.writeUInt16LE(Math.round(fix.heading * 100) % 36000, at + 14)
      bytes.writeUInt8(STATUS[vehicle.status(now)], at + 16)
      bytes.writeUInt16LE(Math.min(65535, Math.round((now - fix.time) / 100)), at + 18)
      bytes.writeUInt32LE(fix.time % 2 ** 32, at + 20)
    })
    if (this.socket.readyState === 1) this.socket.send(bytes)
  }

  details(vehicles) {
    if (vehicles.length) this.send({ type: 'details', seq: this.seq, features: vehicles.map((vehicle) => this.feature(vehicle, Date.now(), true)) })
  }

  feature(vehicle, now, engine = this.detailed(vehicle)) {
    return feature(vehicle, now, engine && this.principal.scopes.includes('fleet:view'), this.link ? 'delivery' : null)
  }

  event(change) {
    if (!this.principal || !this.topics.has('events')) return
    if (this.principal.vehicle && change.vehicle !== this.principal.vehicle) return
    this.send({ type: 'event', seq: ++this.seq, event: change })
  }
}

export function feature(vehicle, now, engine, alias = null) {
  const { fix } = vehicle
  const properties = {
    ...(alias ? {} : { vehicle_id: vehicle.id, group: vehicle.group }), timestamp: Math.floor(fix.time / 1000), time_ms: fix.time,
    speed_kmh: Math.round(fix.kmh), heading_deg: Math.round(fix.heading), status: vehicle.status(now), age_ms: now - fix.time, accuracy_m: 4.1,
    ...(engine ? { engine: vehicle.engine() } : {}),
  }
  return { type: 'Feature', id: alias ?? vehicle.id, geometry: { type: 'Point', coordinates: [fix.lon, fix.lat] }, properties }
}

function matches(topic, vehicle) {
  if (topic === 'live_updates:all') return true
  const [kind, rest] = [topic.slice(0, topic.indexOf(':')), topic.slice(topic.indexOf(':') + 1)]
  if (kind === 'vehicle') return rest === vehicle.id
  if (kind === 'vehicles') return rest.split(',').includes(vehicle.id)
  return kind === 'group' && rest === vehicle.group
}

function inside(view, { fix }) {
  return fix && fix.lon >= view.west && fix.lon <= view.east && fix.lat >= view.south && fix.lat <= view.north
}
