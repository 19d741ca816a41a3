/** A small town day by the real clock: vehicles on streets, orders that they carry out, an hour of the past. */
import { fileURLToPath } from 'node:url'

import { Desk } from './desk.mjs'
import { meters, Roads } from './roads.mjs'
import { random } from './random.mjs'
import { Trail } from './trail.mjs'
import { Vehicle } from './vehicles.mjs'

export const TICK_MS = 100
const CUSTOMERS = [
  'Kaffila Kallio', 'Bakery Aurora', 'Pharmacy Kamppi', 'Florist Orvokki', 'Hotel Torni', 'Books & Co', 'Bike Workshop', 'Clinic Kluuvi',
  'Design Museum Shop', 'Lunch Room 24', 'Tailor Virtanen', 'Office Supply Oy', 'Fish Market', 'Toy Store', 'Print House', 'Radio Studio',
]

export class World {
  constructor({ seed = 7, vehicles = 24, history_s = 3600, streets = fileURLToPath(new URL('streets.geojson', import.meta.url)) } = {}) {
    this.rng = random(seed)
    this.roads = new Roads(streets)
    this.now = () => this.pastNow ?? Date.now()
    this.desk = new Desk(this.rng, () => this.now())
    this.trail = new Trail(random(seed * 31 + 1), () => this.now())
    this.vehicles = new Map()
    for (let i = 0; i < vehicles; i++) {
      const id = `VAN-${String(i + 1).padStart(4, '0')}`
      this.vehicles.set(id, new Vehicle(id, this.roads, random(seed * 1000 + i), i))
    }
    this.byIndex = [...this.vehicles.values()]
    this.big = vehicles > 500
    /** Vehicles that a driver's page serves: they drive to their next stop and wait there. */
    this.manned = new Set(['VAN-0001'])
    this.listeners = new Set()
    this.tick = 0
    if (!this.big) this.live(history_s)
    else for (const vehicle of this.byIndex) vehicle.report(Date.now())
  }

  /** An hour that has happened already, in steps of one second. */
  live(seconds) {
    const end = Date.now()
    this.pastNow = end - seconds * 1000
    this.plan()
    for (let s = 0; s < seconds; s++) {
      this.pastNow += 1000
      if (s % 240 === 0) this.newOrder()
      // One that has been out of reach for minutes when the page opens.
      if (s === seconds - 400 && this.byIndex[16]) this.byIndex[16].silentMs = 3_600_000
      this.serve()
      for (const vehicle of this.byIndex) {
        vehicle.step(1000)
        vehicle.report(this.pastNow)
      }
    }
    this.pastNow = null
    this.firstMorning()
    this.trail.remember(this.desk)
  }

  start() {
    this.timer = setInterval(() => this.step(), TICK_MS)
  }

  stop() {
    clearInterval(this.timer)
  }

  step() {
    const now = Date.now()
    this.tick++
    const reported = []
    this.byIndex.forEach((vehicle, index) => {
      // Each vehicle once a second, in turns.
      if ((this.tick + index) % 10 !== 0) return
      if (this.big) this.slide(vehicle)
      else vehicle.step(1000)
      if (vehicle.report(now)) reported.push(vehicle)
    })
    if (!this.big && this.tick % 10 === 0) this.serve()
    for (const listener of this.listeners) listener(reported, now)
  }

  /** A cheap motion for ten thousand: along an edge, then another. */
  slide(vehicle) {
    if (vehicle.way.length === 0) {
      const edges = this.roads.edges[vehicle.node].filter((edge) => this.roads.isUsable.has(edge.to))
      const edge = vehicle.rng.pick(edges)
      vehicle.way = [{ at: this.roads.nodes[edge.to], kmh: edge.kmh }]
      vehicle.target = edge.to
    }
    vehicle.restMs = 0
    vehicle.step(1000)
    vehicle.restMs = 0
  }

  plan() {
    for (let i = 0; i < 10; i++) this.newOrder()
  }

  newOrder() {
    const stops = Array.from({ length: this.rng.pick([1, 1, 2, 3]) }, (_, at) => {
      const [lon, lat] = this.roads.nodes[this.rng.pick(this.roads.usable)]
      const from = this.now() + this.rng.between(-5, 20) * 60_000 + at * 900_000
      return { lon, lat, due_from: new Date(from).toISOString(), due_until: new Date(from + 1_800_000).toISOString() }
    })
    return this.desk.createOrder({ customer: this.rng.pick(CUSTOMERS), stops }, this.now())
  }

  /** What is on the desk when the page first opens: two stops and a message for the driver, some orders for nobody. */
  firstMorning() {
    const mine = [this.newOrder(), this.newOrder()]
    for (const order of mine) this.desk.orderState(order.id, { from: 'planned', to: 'assigned', vehicle: 'VAN-0001' })
    for (let i = 0; i < 3; i++) this.newOrder().held = true
    const late = this.newOrder()
    late.held = true
    late.stops[0].due_from = new Date(this.now() - 45 * 60_000).toISOString()
    late.stops[0].due_until = new Date(this.now() - 14 * 60_000).toISOString()
    this.desk.sendMessage({ vehicle: 'VAN-0001', body: 'Gate code at the harbour is 4417.' }, true)
    const talk = this.desk.sendMessage({ vehicle: 'VAN-0003', body: 'Road works on Unioninkatu, take Fabianinkatu.' }, true)
    this.desk.messageState(talk.id, { from: 'queued', to: 'delivered' })
    this.desk.messageState(talk.id, { from: 'delivered', to: 'read' })
    this.desk.sendMessage({ vehicle: 'VAN-0003', body: 'Thanks, seen.' }, false)
  }

  openStops(vehicleId) {
    const open = []
    for (const order of this.desk.orders.values()) {
      if (order.vehicle !== vehicleId || !['assigned', 'under_way'].includes(order.state)) continue
      for (const stop of order.stops) if (['planned', 'arrived'].includes(stop.state)) open.push({ order, stop })
    }
    return open.sort((a, b) => (a.stop.route ?? 99) - (b.stop.route ?? 99) || a.stop.sequence - b.stop.sequence)
  }

  /** Free vehicles take orders in the past; vehicles with orders drive to the next stop. */
  serve() {
    for (const vehicle of this.byIndex) {
      if (vehicle.onArrival || vehicle.waiting) continue
      const next = this.openStops(vehicle.id)[0]
      if (next) this.goTo(vehicle, next)
      else if (this.pastNow && this.rng.next() < 0.002 && vehicle.index % 2 === 1) this.takeOne(vehicle)
    }
  }

  takeOne(vehicle) {
    const order = [...this.desk.orders.values()].find((other) => other.state === 'planned' && !other.held)
    if (order) this.desk.orderState(order.id, { from: 'planned', to: 'assigned', vehicle: vehicle.id })
  }

  goTo(vehicle, { order, stop }) {
    if (order.state === 'assigned' && !this.manned.has(vehicle.id)) this.desk.orderState(order.id, { from: 'assigned', to: 'under_way' })
    if (this.manned.has(vehicle.id)) {
      if (vehicle.stopId === stop.id) return
      vehicle.stopId = stop.id
      return vehicle.driveTo([stop.position.lon, stop.position.lat], null)
    }
    vehicle.driveTo([stop.position.lon, stop.position.lat], () => {
      if (stop.state !== 'planned') return
      this.desk.stopState(stop.id, { from: 'planned', to: 'arrived' })
      vehicle.waiting = true
      const done = this.rng.next() < 0.93 ? 'done' : 'failed'
      this.later(vehicle, () => {
        vehicle.waiting = false
        if (stop.state !== 'arrived') return
        this.desk.stopState(stop.id, { from: 'arrived', to: done })
        this.finish(order)
      })
    })
  }

  /** An order follows its stops: drivers say so, or those who drive without a page. */
  finish(order) {
    if (order.state !== 'under_way' || order.stops.some((stop) => ['planned', 'arrived'].includes(stop.state))) return
    this.desk.orderState(order.id, { from: 'under_way', to: order.stops.some((stop) => stop.state === 'done') ? 'delivered' : 'failed' })
  }

  /** When the vehicle has rested: in the past and now alike. */
  later(vehicle, work) {
    const step = vehicle.step
    vehicle.step = (ms) => {
      step.call(vehicle, ms)
      if (vehicle.restMs <= 0) {
        vehicle.step = step
        work()
      }
    }
  }

  near(vehicle, position) {
    return meters(vehicle.at, [position.lon, position.lat])
  }
}
