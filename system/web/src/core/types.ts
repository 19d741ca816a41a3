/** What hub and pages say to each other: the session over WebSocket and the HTTP API. Types alone, no code. */

export type Status = 'moving' | 'idling' | 'stopped' | 'silent'
export type LonLat = [lon: number, lat: number]
export interface Position { lon: number; lat: number }

/** Values of the engine, as far as the vehicle tells them. */
export interface Engine {
  rpm?: number
  coolant_c?: number
  fuel_percent?: number
  battery_v?: number
  odometer_km?: number
}

/** One vehicle's newest fix (RFC 7946). A customer's has the id "delivery". */
export interface VehicleFeature {
  type: 'Feature'
  id: string
  geometry: { type: 'Point'; coordinates: LonLat }
  properties: {
    vehicle_id?: string
    timestamp?: number
    time_ms?: number
    speed_kmh?: number
    heading_deg?: number
    status?: Status
    age_ms?: number
    accuracy_m?: number
    group?: string | null
    engine?: Engine
    driver?: { style?: string }
  }
}

export type Role = 'dispatcher' | 'driver' | 'customer' | 'viewer'
export interface Principal {
  sub: string
  tenant: string
  role: Role
  scopes: string[]
  vehicle: string | null
  expires?: string
}

export type ErrorCode =
  | 'bad_json' | 'unknown_action' | 'bad_topic' | 'forbidden' | 'unauthenticated' | 'too_many' | 'too_large' | 'expired'

export type ServerMessage =
  | { type: 'welcome'; session: string; hub: string; time: string; tick_ms: number; principal: Principal }
  | { type: 'subscribed'; id?: number; topic?: string; seq: number }
  | { type: 'unsubscribed'; id?: number; topic?: string }
  | { type: 'snapshot'; topic?: string; seq: number; features: VehicleFeature[]; more: boolean }
  | { type: 'update'; seq: number; features: VehicleFeature[] }
  | { type: 'details'; seq?: number; features: VehicleFeature[] }
  | { type: 'gone'; seq: number; vehicles: string[] }
  | { type: 'event'; seq: number; event: Change }
  | { type: 'handles'; handles: Record<string, string> }
  | { type: 'resumed'; id?: number; resumed: boolean; seq: number }
  | { type: 'pong'; id?: number }
  | { type: 'error'; id: number | null; code: ErrorCode; detail: string }
  | { type: 'closing'; reason: 'expired' | 'revoked' | 'slow' | 'draining' | 'idle' }

/** An entry of the change feed; the changed thing's own fields stand beside these. */
export interface Change {
  cursor?: string
  at?: string
  kind: 'order' | 'stop' | 'message' | 'route' | 'share_link' | 'geofence' | 'vehicle_online' | 'insight'
  id: string
  [field: string]: unknown
}

export interface Page<T> { items: T[]; next: string | null }

export interface Vehicle {
  id: string
  group: string | null
  label: string | null
  status: Status
  position?: Position | null
  speed_kmh?: number | null
  heading_deg?: number | null
  fix_time?: string | null
  age_ms?: number | null
  engine?: Engine
  order?: string | null
}

export type OrderState = 'planned' | 'assigned' | 'under_way' | 'delivered' | 'failed' | 'cancelled'
export type StopState = 'planned' | 'arrived' | 'done' | 'failed' | 'skipped'
export interface Stop {
  id: string
  sequence: number
  position: Position
  state: StopState
  due_from: string | null
  due_until: string | null
  arrived?: string | null
  done?: string | null
  /** When its state changed last. */
  changed?: string | null
}
export interface Order {
  id: string
  customer: string
  state: OrderState
  vehicle: string | null
  created: string
  changed: string
  stops: Stop[]
}

/** When a message or a route got how far on its way to the vehicle's tracker: apart from what its driver does with it. */
export interface TrackerStates {
  queued?: string | null
  delivered?: string | null
  applied?: string | null
  expired?: string | null
  refused?: string | null
}

export type MessageState = 'queued' | 'delivered' | 'read' | 'expired'
export interface Message {
  id: string
  vehicle: string
  to_vehicle: boolean
  body: string
  state: MessageState
  created: string
  expires?: string | null
  changed: string
  /** Absent of one that the vehicle has sent. */
  states?: TrackerStates | null
}

export type RouteState = 'queued' | 'delivered' | 'applied' | 'expired'
export interface Route {
  id: string
  vehicle?: string
  revision: number
  stops: (string | Stop)[]
  polyline?: LonLat[] | null
  reason?: string | null
  state: RouteState
  previous?: number | null
  states?: TrackerStates | null
}

export type TrackPoint = [timeMs: number, lon: number, lat: number, speedKmh: number]
export interface Track { vehicle: string; from: string; until: string; points: TrackPoint[]; simplified: boolean }

/** A drive between two stops. */
export interface Trip { started: string; ended: string; distance_m: number | null; from: Position; to: Position }
/** What a vehicle did on a day of UTC. Idling and fuel are known of vehicles that tell engine values. */
export interface DayTotal {
  day: string
  fixes: number | null
  distance_m: number | null
  moving_s: number | null
  idling_s?: number | null
  fuel_l?: number | null
  speed_max_mps: number | null
}

/** When a vehicle will be at a stop: an estimate, with a range. */
export interface Arrival {
  stop: string
  order: string
  /** False while its driver has not set out: then it is from now on. */
  under_way: boolean
  expected: string
  earliest: string
  latest: string
  distance_m: number
  /** How much after the end of its window; null if in time. */
  late_s: number | null
}
export interface Arrivals {
  vehicle: string
  items: Arrival[]
  /** Why there are none. */
  none: 'no_stops' | 'unheard' | 'silent' | null
}

/** An area that has a name. */
export interface Geofence {
  type: 'Feature'
  id: string
  properties: { name: string }
  geometry: { type: 'Polygon'; coordinates: LonLat[][] }
}
/** Somebody did something, or was not let. */
export interface AuditEntry {
  id: string
  at: string
  /** Empty of somebody whose token was not believed. */
  actor: string
  role: string
  action: string
  /** Identity of what it was done to; of a refusal the path. */
  subject: string
  outcome: string
  peer: string
}
export interface AreaVisit { vehicle: string; entered: string; last_inside: string }

export interface ShareLink { id?: string; token?: string; url?: string; expires: string; revoked?: string | null }

export type DeliveryStatus = 'planned' | 'under_way' | 'near' | 'arrived' | 'done' | 'failed' | 'over'
export interface Delivery {
  status: DeliveryStatus
  window: { from: string | null; until: string | null } | null
  stops_before?: number | null
  /** Between when and when it is expected now; null where nothing can be said. */
  expected?: { from: string; until: string; late: boolean } | null
  destination?: Position | null
  customer?: string
  updated?: string | null
  timeline: { at: string; what: string }[]
  /** Token for the live map while the vehicle may be seen; null while it may not. Absent: the link's own token serves. */
  session?: string | null
  /** Origin of the hub that the vehicle is at home at; null or absent: whoever served the page. */
  live_map?: string | null
}

export interface Config {
  name: string
  attribution: string
  streets: string | { tiles: string | string[] }
  center: LonLat
  bounds: [west: number, south: number, east: number, north: number]
  sign_in: 'token' | 'oidc' | 'demo'
  oidc?: { issuer: string; client_id: string; scope: string } | null
  demo?: { name: string; role: Role; token: string }[]
  /** Where the live map is over QUIC, and SHA-256 of the certificates that no CA has signed. */
  web_transport?: { port: number; hashes: string[] } | null
  /** Where faults are struck, of a town that runs on the reader's own machine. */
  faults?: string
}

/** RFC 9457. `state` is what a thing is now, where a step was refused. */
export interface Problem { type?: string; title?: string; status?: number; detail?: string; state?: string }
