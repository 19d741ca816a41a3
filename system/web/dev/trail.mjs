/** The audit trail of the development server: notes of what was asked of it, and of the hour before it began. */
const KEPT_MAX = 20_000
const iso = (ms) => new Date(ms).toISOString()

/** How each change is noted: the kind of the action, and what it was done to. */
const CHANGES = [
  ['POST', /^\/api\/v1\/orders$/, 'create_order'], ['POST', /^\/api\/v1\/orders\/([^/]+)\/state$/, 'change_order'],
  ['POST', /^\/api\/v1\/stops\/([^/]+)\/state$/, 'change_stop'], ['POST', /^\/api\/v1\/messages$/, 'send_message'],
  ['POST', /^\/api\/v1\/messages\/([^/]+)\/state$/, 'change_message'], ['POST', /^\/api\/v1\/routes$/, 'plan_route'],
  ['POST', /^\/api\/v1\/routes\/([^/]+)\/state$/, 'change_route'], ['POST', /^\/api\/v1\/geofences$/, 'draw_geofence'],
  ['PUT', /^\/api\/v1\/geofences\/([^/]+)$/, 'change_geofence'], ['DELETE', /^\/api\/v1\/geofences\/([^/]+)$/, 'remove_geofence'],
  ['POST', /^\/api\/v1\/orders\/[^/]+\/share-links$/, 'share_order'], ['DELETE', /^\/api\/v1\/share-links\/([^/]+)$/, 'revoke_share_link'],
]

export class Trail {
  constructor(rng, now) {
    this.rng = rng
    this.now = now
    /** Oldest first. */
    this.notes = []
    this.seen = new Set()
  }

  note(who, action, subject, outcome, at = this.now()) {
    this.notes.push({ id: this.rng.uuid(), at: iso(at), actor: who?.sub ?? '', role: who?.role ?? '', action, subject, outcome, peer: '127.0.0.1' })
    if (this.notes.length > KEPT_MAX) this.notes.shift()
  }

  /** Notes of the hour that the world has behind it when it begins. */
  remember(desk) {
    const people = [{ sub: 'Dana', role: 'dispatcher' }, { sub: 'Otto', role: 'dispatcher' }]
    const orders = [...desk.orders.values()]
    for (const [at, order] of orders.entries()) {
      // All were made at a few moments: spread a little, none later than now.
      const [made, who] = [Date.parse(order.created) - (orders.length - at) * 40_000, people[at % 7 === 0 ? 1 : 0]]
      this.note(who, 'create_order', order.id, 'applied', made)
      if (order.vehicle) this.note(who, 'change_order', order.id, 'applied', made + 20_000)
      if (at % 6 === 5) this.note(people[1], 'change_order', order.id, 'elsewhere', made + 25_000)
    }
    for (const message of desk.messages.values()) if (message.to_vehicle) this.note(people[0], 'send_message', message.id, 'applied', Date.parse(message.created))
    const first = Date.parse(this.notes[0]?.at ?? iso(this.now()))
    for (const who of people) this.note(who, 'signed_in', '', `until ${iso(first + 8 * 3600_000)}`, first - 60_000)
    this.note({ sub: 'Vera', role: 'viewer' }, 'refused', '/api/v1/orders', 'forbidden', first + 400_000)
    // The day before had an evening.
    this.note(people[1], 'signed_in', '', `until ${iso(first - 16 * 3600_000)}`, first - 24 * 3600_000)
    this.notes.sort((a, b) => a.at.localeCompare(b.at))
  }

  /** Notes what somebody asked for, and what became of it. */
  asked({ method, path }, principal, status, body) {
    if (principal && !this.seen.has(principal.sub)) {
      this.seen.add(principal.sub)
      this.note(principal, 'signed_in', principal.vehicle ?? '', `until ${principal.expires}`)
    }
    if (status === 401 || status === 403) return this.note(principal, 'refused', path, status === 401 ? 'unauthenticated' : 'forbidden')
    for (const [verb, pattern, action] of CHANGES) {
      const match = verb === method && pattern.exec(path)
      const outcome = { 404: 'missing', 409: 'elsewhere' }[status] ?? (status < 300 ? 'applied' : null)
      if (match && outcome) this.note(principal, action, match[1] ?? body?.id ?? '', outcome)
    }
  }

  /** A page of them, newest first. */
  page(query) {
    const limit = Math.max(1, Math.min(1000, Number(query.get('limit') ?? 100)))
    const cursor = query.get('cursor')
    const wanted = (note) => ['actor', 'action', 'subject'].every((name) => !query.get(name) || note[name] === query.get(name))
    const all = this.notes.filter(wanted).reverse()
    const begin = cursor === null ? 0 : all.findIndex((note) => note.id === cursor) + 1
    const items = all.slice(begin, begin + limit)
    return { items, next: begin + limit < all.length ? items.at(-1).id : null }
  }
}
