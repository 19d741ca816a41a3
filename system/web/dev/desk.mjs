/** Orders, messages, routes and share links, in memory, with the state rules of the real store. */
const ORDER_STEPS = {
  planned: ['assigned', 'cancelled'], assigned: ['planned', 'under_way', 'cancelled'], under_way: ['delivered', 'failed'], failed: ['planned'],
}
const STOP_STEPS = { planned: ['arrived', 'skipped'], arrived: ['done', 'failed'], failed: ['planned'], skipped: ['planned'] }
const MESSAGE_STEPS = { queued: ['delivered', 'expired'], delivered: ['read'] }

export class Refusal extends Error {
  constructor(status, title, detail, extra = {}) {
    super(detail)
    Object.assign(this, { status, title, extra })
  }
}

const iso = (ms) => new Date(ms).toISOString()

export class Desk {
  constructor(rng, now) {
    this.rng = rng
    this.now = now
    this.orders = new Map()
    this.stops = new Map()
    this.messages = new Map()
    this.routes = new Map()
    this.links = new Map()
    this.fences = new Map()
    this.timelines = new Map()
    this.keys = new Map()
    this.changes = []
    this.listeners = new Set()
    this.cursor = 0
  }

  /** Carries out `work` once per key: a repeat gets the first answer. */
  once(key, work) {
    if (!key) throw new Refusal(400, 'Idempotency-Key is missing', 'send a UUID in the header Idempotency-Key')
    if (!this.keys.has(key)) this.keys.set(key, work())
    return this.keys.get(key)
  }

  tell(kind, object) {
    const change = { cursor: String(++this.cursor), at: iso(this.now()), kind, ...object }
    this.changes.push(change)
    if (this.changes.length > 5_000) this.changes.shift()
    for (const listener of this.listeners) listener(change)
  }

  createOrder({ customer, stops }, times = null) {
    if (typeof customer !== 'string' || !customer.trim()) throw new Refusal(422, 'No customer', '/customer: a name is needed')
    if (!Array.isArray(stops) || stops.length === 0) throw new Refusal(422, 'No stops', '/stops: at least one stop is needed')
    const id = this.rng.uuid()
    const order = {
      id, customer, state: 'planned', vehicle: null, created: iso(times ?? this.now()), changed: iso(times ?? this.now()),
      stops: stops.map((stop, at) => ({
        id: this.rng.uuid(), sequence: at, position: { lon: stop.lon, lat: stop.lat }, state: 'planned', due_from: stop.due_from ?? null,
        due_until: stop.due_until ?? null,
      })),
    }
    this.orders.set(id, order)
    for (const stop of order.stops) this.stops.set(stop.id, { order, stop })
    this.timelines.set(id, [{ at: order.created, what: 'planned' }])
    this.tell('order', order)
    return order
  }

  orderState(id, { from, to, vehicle }) {
    const order = this.orders.get(id) ?? missing('order', id)
    step(order, from, to, ORDER_STEPS)
    order.state = to
    order.changed = iso(this.now())
    if (to === 'assigned') order.vehicle = vehicle ?? order.vehicle
    if (to === 'planned') order.vehicle = null
    if (to !== 'delivered') this.timelines.get(id).push({ at: order.changed, what: to })
    // As the hub does, a change names what it was asked for: a step back names no vehicle.
    this.tell('order', { id, state: to, changed: order.changed, ...(to === 'planned' ? {} : { vehicle: order.vehicle }) })
    return order
  }

  stopState(id, { from, to }, at = null) {
    const { order, stop } = this.stops.get(id) ?? missing('stop', id)
    step(stop, from, to, STOP_STEPS)
    stop.state = to
    const when = at ?? iso(this.now())
    if (to === 'arrived') stop.arrived = when
    if (to === 'done') stop.done = when
    order.changed = iso(this.now())
    // What the customer is told is about the last stop: their own.
    if (stop === order.stops.at(-1)) this.timelines.get(order.id).push({ at: when, what: to })
    stop.changed = when
    // As the hub does, a change names what it has set; `vehicle` is for whoever hears of it.
    this.tell('stop', { id, state: to, changed: when, vehicle: order.vehicle })
    return stop
  }

  sendMessage({ vehicle, body, expires_s = 86_400 }, toVehicle) {
    if (typeof body !== 'string' || !body.trim()) throw new Refusal(422, 'Empty message', '/body: a text is needed')
    const id = this.rng.uuid()
    const at = iso(this.now())
    const message = {
      id, vehicle, to_vehicle: toVehicle, body, state: 'queued', created: at, expires: iso(this.now() + expires_s * 1000), changed: at,
    }
    if (toVehicle) message.states = { queued: at }
    this.messages.set(id, message)
    this.tell('message', message)
    if (toVehicle) this.tracked('message', message)
    return message
  }

  /** What a tracker that is there says, at once. */
  tracked(kind, thing) {
    const at = iso(this.now())
    for (const state of ['delivered', 'applied']) {
      thing.states = { ...thing.states, [state]: at }
      this.tell(kind, { id: thing.id, revision: thing.revision, vehicle: thing.vehicle, states: { [state]: at } })
    }
  }

  messageState(id, { from, to }) {
    const message = this.messages.get(id) ?? missing('message', id)
    step(message, from, to, MESSAGE_STEPS)
    message.state = to
    message.changed = iso(this.now())
    this.tell('message', { id, state: to, changed: message.changed, vehicle: message.vehicle })
    return message
  }

  pushRoute({ vehicle, stops, polyline = null, reason = '' }) {
    const before = this.routes.get(vehicle)
    const route = {
      id: this.rng.uuid(), vehicle, revision: (before?.revision ?? 0) + 1, stops, polyline, reason, state: 'queued',
      previous: before?.revision ?? null, states: { queued: iso(this.now()) },
    }
    this.routes.set(vehicle, route)
    stops.forEach((id, at) => {
      const known = this.stops.get(id)
      if (known) known.stop.route = at
    })
    this.tell('route', route)
    this.tracked('route', route)
    return route
  }

  routeStep({ vehicle, revision, from, to }) {
    const route = this.routes.get(vehicle)
    if (!route || route.revision !== revision) missing('route', `${vehicle}/${revision}`)
    step(route, from, to, { queued: ['delivered', 'expired'], delivered: ['applied', 'expired'], applied: ['expired'] })
    route.state = to
    this.tell('route', { id: route.id, revision, state: to, vehicle })
    return route
  }

  share(orderId, expiresS) {
    if (!this.orders.has(orderId)) missing('order', orderId)
    const id = this.rng.uuid()
    const token = `dsl_${this.rng.uuid().replaceAll('-', '')}`
    const link = { id, order: orderId, token, url: `/d/${token}`, expires: iso(this.now() + expiresS * 1000), revoked: false }
    this.links.set(token, link)
    this.tell('share_link', { id, order: orderId, expires: link.expires })
    return link
  }
}

function step(thing, from, to, steps) {
  if (thing.state !== from || !(steps[from] ?? []).includes(to)) {
    throw new Refusal(409, 'Not a step', `from ${from} to ${to} is not possible: it is ${thing.state}`, { state: thing.state })
  }
}

function missing(what, id) {
  throw new Refusal(404, 'Not found', `there is no ${what} ${id}`)
}
