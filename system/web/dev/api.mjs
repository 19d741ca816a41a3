/** The HTTP API of the development server: the same paths, bodies and problems as the hub's. */
import { Refusal } from './desk.mjs'
import { createPublicKey, verify } from 'node:crypto'

import { arrivals, expectedAt } from './foretold.mjs'
import { days, trips, visits } from './past.mjs'
import { feature } from './session.mjs'

const DISPATCHER = ['map:view', 'route:read', 'fleet:view', 'orders:write', 'messages:write', 'share:write', 'audit:read']
const iso = (ms) => new Date(ms).toISOString()

/** Tokens of this server: dev-dispatcher, dev-viewer, dev-driver:VAN-0001, and those of share links. */
export function principalOf(world, token) {
  const base = { tenant: 'dev', vehicle: null, expires: iso(Date.now() + 8 * 3600_000) }
  if (token === 'dev-dispatcher') return { ...base, sub: 'Dana', role: 'dispatcher', scopes: DISPATCHER }
  if (token === 'dev-viewer') return { ...base, sub: 'Vera', role: 'viewer', scopes: ['map:view'] }
  const driver = /^dev-driver:(.+)$/.exec(token ?? '')?.[1]
  if (driver && world.vehicles.has(driver)) return { ...base, sub: `driver of ${driver}`, role: 'driver', scopes: ['drive'], vehicle: driver }
  const signed = world.provider && signedBy(world.provider, token ?? '')
  if (signed) return { ...base, sub: signed.sub, role: 'dispatcher', scopes: DISPATCHER }
  const link = world.desk.links.get(token?.replace(/^dev-ticket:/, ''))
  if (link && !link.revoked && Date.parse(link.expires) > Date.now()) {
    return { ...base, sub: 'customer', role: 'customer', scopes: ['delivery'], expires: link.expires, link }
  }
  return null
}

/** Claims of a token (ES256) of the identity provider that a test has set up; null if it is none. */
function signedBy(provider, token) {
  const [head, claims, signature] = token.split('.')
  if (!signature) return null
  const key = createPublicKey({ key: provider.jwk, format: 'jwk' })
  if (!verify('sha256', Buffer.from(`${head}.${claims}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'))) return null
  const said = JSON.parse(Buffer.from(claims, 'base64url'))
  return said.iss === provider.issuer && said.exp > Date.now() / 1000 && said.role === 'dispatcher' ? said : null
}

export function config(world) {
  const [w, s, e, n] = world.roads.bounds
  return {
    name: 'Helsinki', attribution: '© OpenStreetMap contributors', streets: '/streets.geojson', center: [(w + e) / 2, (s + n) / 2],
    bounds: [w, s, e, n], sign_in: world.provider ? 'oidc' : 'demo',
    oidc: world.provider ? { issuer: world.provider.issuer, client_id: world.provider.client_id, scope: world.provider.scope } : null,
    demo: world.provider ? [] : [
      { name: 'Dispatcher', role: 'dispatcher', token: 'dev-dispatcher' },
      { name: 'Driver of VAN-0001', role: 'driver', token: 'dev-driver:VAN-0001' },
      { name: 'Viewer', role: 'viewer', token: 'dev-viewer' },
    ],
  }
}

const ROUTES = []
const on = (method, pattern, scope, work) => ROUTES.push({ method, pattern: new RegExp(`^/api/v1${pattern}$`), scope, work })

on('GET', '/me', null, ({ principal }) => {
  const { link, ...me } = principal
  return me
})
on('GET', '/vehicles', 'map:view', ({ world, query }) => {
  const wanted = world.byIndex.filter((vehicle) => {
    const search = query.get('search')?.toLowerCase()
    return (!query.get('group') || vehicle.group === query.get('group')) && (!query.get('status') || vehicle.status(Date.now()) === query.get('status')) &&
      (!search || `${vehicle.id} ${vehicle.label}`.toLowerCase().includes(search))
  })
  return page(wanted, query, (vehicle) => shownVehicle(world, vehicle))
})
on('GET', '/vehicles/([^/]+)', 'map:view', ({ world, parts }) => shownVehicle(world, vehicleOf(world, parts[0]), true))
on('GET', '/vehicles/([^/]+)/track', 'map:view', ({ world, parts, query }) => track(vehicleOf(world, parts[0]), query))
on('GET', '/vehicles/([^/]+)/trips', 'map:view', ({ world, parts, query }) => ({ items: trips(vehicleOf(world, parts[0]), query), next: null }))
on('GET', '/vehicles/([^/]+)/days', 'map:view', ({ world, parts, query }) => ({ items: days(vehicleOf(world, parts[0]), query), next: null }))
on('GET', '/vehicles/([^/]+)/arrivals', 'any', ({ world, parts, principal }) => {
  own(principal, parts[0])
  return arrivals(world, vehicleOf(world, parts[0]))
})
on('GET', '/visits', 'route:read', ({ world, query }) => ({ items: visits(world, query), next: null }))
on('GET', '/vehicles/([^/]+)/route', 'any', ({ world, parts, principal }) => {
  own(principal, parts[0])
  return world.desk.routes.get(parts[0]) ?? refuse(404, 'No route', `${parts[0]} has no route`)
})
on('GET', '/positions', 'map:view', ({ world }) => ({
  type: 'FeatureCollection', features: world.byIndex.filter((vehicle) => vehicle.fix).map((vehicle) => feature(vehicle, Date.now(), false)),
}))
on('GET', '/orders', 'any', ({ world, query, principal }) => {
  const vehicle = principal.vehicle ?? query.get('vehicle')
  const wanted = [...world.desk.orders.values()].filter(
    (order) => (!vehicle || order.vehicle === vehicle) && (query.get('open') !== 'true' || ['planned', 'assigned', 'under_way'].includes(order.state)) && (!query.get('state') || order.state === query.get('state')),
  )
  return page(wanted, query, (order) => order)
})
on('POST', '/orders', 'orders:write', ({ world, body, key }) => world.desk.once(key, () => world.desk.createOrder(body)))
on('GET', '/orders/([^/]+)', 'any', ({ world, parts, principal }) => {
  const order = world.desk.orders.get(parts[0]) ?? refuse(404, 'Not found', `there is no order ${parts[0]}`)
  own(principal, order.vehicle)
  return order
})
on('POST', '/orders/([^/]+)/state', 'any', ({ world, parts, body, key, principal }) => {
  const order = world.desk.orders.get(parts[0]) ?? refuse(404, 'Not found', `there is no order ${parts[0]}`)
  own(principal, order.vehicle)
  if (principal.role !== 'dispatcher' && !['under_way', 'delivered', 'failed'].includes(body.to)) refuse(403, 'Not allowed', 'this needs the scope orders:write')
  return world.desk.once(key, () => world.desk.orderState(parts[0], body))
})
on('POST', '/stops/([^/]+)/state', 'any', ({ world, parts, body, key, principal, headers }) => {
  const found = world.desk.stops.get(parts[0]) ?? refuse(404, 'Not found', `there is no stop ${parts[0]}`)
  own(principal, found.order.vehicle)
  if (principal.role === 'driver' && body.order !== found.order.id) refuse(404, 'Not found', 'a driver names the order of a stop')
  return world.desk.once(key, () => {
    const stop = world.desk.stopState(parts[0], body, headers['happened-at'] ?? null)
    if (found.order.vehicle) world.vehicles.get(found.order.vehicle).stopId = null
    return stop
  })
})
on('GET', '/messages', 'any', ({ world, query, principal }) => {
  const vehicle = principal.vehicle ?? query.get('vehicle')
  const found = [...world.desk.messages.values()].filter((message) => !vehicle || message.vehicle === vehicle)
  return page(query.get('newest') === 'true' ? found.reverse() : found, query, (message) => message)
})
on('POST', '/messages', 'any', ({ world, body, key, principal }) => {
  own(principal, body.vehicle)
  vehicleOf(world, body.vehicle)
  const send = () => world.desk.sendMessage(body, principal.role !== 'driver')
  return key ? world.desk.once(key, send) : send()
})
on('POST', '/messages/([^/]+)/state', 'any', ({ world, parts, body, key }) => world.desk.once(key ?? parts[0] + body.to, () => world.desk.messageState(parts[0], body)))
on('POST', '/routes', 'orders:write', ({ world, body }) => {
  vehicleOf(world, body.vehicle)
  return world.desk.pushRoute(body)
})
on('POST', '/routes/([^/]+)/state', 'any', ({ world, body, principal, key }) => {
  own(principal, body.vehicle)
  return world.desk.once(key, () => world.desk.routeStep(body))
})
on('GET', '/audit', 'audit:read', ({ world, query }) => world.trail.page(query))
on('GET', '/geofences', 'map:view', ({ world, query }) => page([...world.desk.fences.values()], query, (fence) => fence))
on('POST', '/geofences', 'orders:write', ({ world, body }) => {
  const fence = { ...body, id: world.rng.uuid() }
  world.desk.fences.set(fence.id, fence)
  return fence
})
on('PUT', '/geofences/([^/]+)', 'orders:write', ({ world, parts, body, key }) => world.desk.once(key, () => {
  const before = world.desk.fences.get(parts[0]) ?? refuse(404, 'Not found', `there is no geofence ${parts[0]}`)
  const fence = { ...before, properties: { name: body.properties?.name ?? before.properties.name }, geometry: body.geometry ?? before.geometry }
  world.desk.fences.set(fence.id, fence)
  world.desk.tell('geofence', { id: fence.id, name: fence.properties.name })
  return fence
}))
on('DELETE', '/geofences/([^/]+)', 'orders:write', ({ world, parts }) => {
  if (!world.desk.fences.delete(parts[0])) refuse(404, 'Not found', `there is no geofence ${parts[0]}`)
  return { id: parts[0], removed: true }
})
on('POST', '/orders/([^/]+)/share-links', 'share:write', ({ world, parts, body }) => {
  const { id, token, url, expires } = world.desk.share(parts[0], body.expires_s ?? 86_400)
  return { id, token, url, expires }
})
on('GET', '/orders/([^/]+)/share-links', 'share:write', ({ world, parts, query }) =>
  page([...world.desk.links.values()].filter((link) => link.order === parts[0] && !link.revoked), query, ({ id, expires }) => ({ id, expires })))
on('DELETE', '/share-links/([^/]+)', 'share:write', ({ world, parts }) => {
  for (const link of world.desk.links.values()) if (link.id === parts[0]) link.revoked = true
})
on('GET', '/delivery', 'delivery', ({ world, principal }) => delivery(world, principal.link))
on('GET', '/changes', 'any', async ({ world, query }) => {
  const since = Number(query.get('since') ?? 0)
  const wait = Math.min(25, Number(query.get('wait_s') ?? 0)) * 1000
  const fresh = () => world.desk.changes.filter((change) => Number(change.cursor) > since)
  if (fresh().length === 0 && wait > 0) {
    await new Promise((resolve) => {
      const done = () => (world.desk.listeners.delete(done), resolve())
      world.desk.listeners.add(done)
      setTimeout(done, wait)
    })
  }
  const items = fresh()
  return { items, next: items.at(-1)?.cursor ?? String(since) }
})

/** Answers one request: { status, body } with a problem (RFC 9457) where it is refused. */
export async function answer(world, request) {
  const reply = await tried(world, request)
  const { link, ...who } = principalOf(world, request.token) ?? {}
  world.trail.asked(request, who.sub === undefined || link ? null : who, reply.status, reply.body)
  return reply
}

async function tried(world, request) {
  try {
    for (const { method, pattern, scope, work } of ROUTES) {
      const match = pattern.exec(request.path)
      if (!match || method !== request.method) continue
      const principal = principalOf(world, request.token)
      if (!principal) refuse(401, 'Not signed in', 'the token is missing, unknown or has expired')
      if (scope === 'any' ? principal.role === 'customer' : scope && !principal.scopes.includes(scope)) {
        refuse(403, 'Not allowed', `this needs the scope ${scope}`)
      }
      const parts = match.slice(1).map(decodeURIComponent)
      const body = await work({ ...request, world, principal, parts })
      return { status: body === undefined ? 204 : 200, body }
    }
    return refuse(404, 'Not found', `there is no ${request.method} ${request.path}`)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { status: error.status, body: { title: error.title, status: error.status, detail: error.message, ...error.extra } }
  }
}

function refuse(status, title, detail) {
  throw new Refusal(status, title, detail)
}

function vehicleOf(world, id) {
  return world.vehicles.get(id) ?? refuse(404, 'Not found', `there is no vehicle ${id}`)
}

function own(principal, vehicle) {
  if (principal.vehicle && principal.vehicle !== vehicle) refuse(403, 'Not allowed', `${vehicle} is not yours`)
}

function page(list, query, shape) {
  const limit = Math.max(1, Math.min(1000, Number(query.get('limit') ?? 100)))
  const from = Number(query.get('cursor') ?? 0)
  return { items: list.slice(from, from + limit).map(shape), next: from + limit < list.length ? String(from + limit) : null }
}

function shownVehicle(world, vehicle, engine = false) {
  const now = Date.now()
  const { fix } = vehicle
  return {
    id: vehicle.id, group: vehicle.group, label: vehicle.label, status: vehicle.status(now), position: fix && { lon: fix.lon, lat: fix.lat },
    speed_kmh: fix && Math.round(fix.kmh), heading_deg: fix && Math.round(fix.heading), fix_time: fix && iso(fix.time), age_ms: fix && now - fix.time,
    ...(engine ? { engine: vehicle.engine() } : {}), order: world.big ? null : (world.openStops(vehicle.id)[0]?.order.id ?? null),
  }
}

function track(vehicle, query) {
  const until = query.has('until') ? Date.parse(query.get('until')) : Date.now()
  const from = query.has('from') ? Date.parse(query.get('from')) : until - 3600_000
  const most = Math.max(2, Math.min(10_000, Number(query.get('points') ?? 2000)))
  const all = vehicle.track.filter(([time]) => time >= from && time <= until)
  const every = Math.ceil(all.length / most)
  return {
    vehicle: vehicle.id, from: iso(from), until: iso(until), points: all.filter((_, at) => at % every === 0 || at === all.length - 1),
    simplified: every > 1,
  }
}

function delivery(world, link) {
  const order = world.desk.orders.get(link.order)
  const last = order.stops.at(-1)
  const ended = ['delivered', 'failed', 'cancelled'].includes(order.state)
  const open = order.vehicle ? world.openStops(order.vehicle) : []
  const place = open.findIndex(({ stop }) => stop === last)
  const vehicle = order.vehicle && world.vehicles.get(order.vehicle)
  const near = vehicle && place >= 0 && world.near(vehicle, last.position) < 300
  const status = ended ? { delivered: 'done', failed: 'failed', cancelled: 'over' }[order.state]
    : last.state === 'arrived' ? 'arrived' : order.state !== 'under_way' ? 'planned' : near ? 'near' : 'under_way'
  return {
    status, window: { from: last.due_from, until: last.due_until }, stops_before: Math.max(0, place), expected: order.state === 'under_way' && last.state === 'planned' ? expectedAt(world, vehicle, last) : null, destination: last.position,
    session: status === 'over' || ended || order.state !== 'under_way' ? null : `dev-ticket:${link.token}`, customer: order.customer, updated: vehicle?.fix ? iso(vehicle.fix.time) : order.changed, timeline: world.desk.timelines.get(order.id),
  }
}

/** The vehicle that a share link shows now; null before and after, and while others come first. */
export function shareOpen(world, link) {
  if (link.revoked || Date.parse(link.expires) < Date.now()) return null
  const order = world.desk.orders.get(link.order)
  return order.state === 'under_way' ? order.vehicle : null
}

