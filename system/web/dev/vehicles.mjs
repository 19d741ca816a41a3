/** Vehicles on streets: they drive from stop to stop, wait, rest, and sometimes fall silent. */
import { headingOf, meters } from './roads.mjs'

const GROUPS = ['north', 'south', 'harbour']
/** As far as the page looks back, and a little. */
const TRACK_MS = 12.5 * 3_600_000

export class Vehicle {
  constructor(id, roads, rng, index) {
    this.id = id
    this.index = index
    this.group = GROUPS[index % GROUPS.length]
    this.label = `${['Transit', 'Sprinter', 'eVito', 'Master'][index % 4]} ${100 + index}`
    this.roads = roads
    this.rng = rng
    this.node = roads.usable[rng.below(roads.usable.length)]
    this.at = roads.nodes[this.node]
    this.way = []
    this.kmh = 0
    this.heading = rng.below(360)
    this.restMs = rng.between(0, 30_000)
    this.engineOn = true
    this.silentMs = 0
    this.odometer = 12_000 + rng.below(90_000)
    this.fuel = rng.between(25, 98)
    this.coolant = rng.between(70, 92)
    this.track = []
    this.fix = null
    /** Set while it serves orders: called when its way ends. */
    this.onArrival = null
  }

  driveTo(position, onArrival) {
    const to = this.roads.nearest(position)
    this.way = this.roads.route(this.node, to).slice(1)
    if (this.way.length === 0) this.way = [{ at: this.at, kmh: 10 }]
    this.target = to
    this.onArrival = onArrival
    this.restMs = 0
    this.engineOn = true
  }

  wander() {
    const to = this.rng.pick(this.roads.usable)
    this.way = this.roads.route(this.node, to).slice(1)
    this.target = to
    this.onArrival = null
    this.engineOn = true
    if (this.rng.next() < 0.05) this.silentMs = this.rng.between(80_000, 160_000)
  }

  step(ms) {
    this.silentMs = Math.max(0, this.silentMs - ms)
    if (this.restMs > 0) {
      this.restMs -= ms
      this.kmh = 0
      if (this.restMs > 0 && this.restMs < this.restFrom - 25_000) this.engineOn = false
      return
    }
    if (this.way.length === 0) return this.wander()
    const wanted = this.way[0].kmh * (0.8 + 0.2 * Math.sin(this.index + this.odometer * 9))
    this.kmh += Math.max(-12 * (ms / 1000), Math.min(7 * (ms / 1000), wanted - this.kmh))
    let left = (this.kmh / 3.6) * (ms / 1000)
    this.odometer += left / 1000
    this.fuel = Math.max(4, this.fuel - left / 90_000)
    while (left > 0 && this.way.length) {
      const next = this.way[0].at
      const m = meters(this.at, next)
      if (m > 0.5) this.heading = headingOf(this.at, next)
      if (m > left) {
        this.at = [this.at[0] + ((next[0] - this.at[0]) * left) / m, this.at[1] + ((next[1] - this.at[1]) * left) / m]
        left = 0
      } else {
        left -= m
        this.at = next
        this.way.shift()
      }
    }
    if (this.way.length === 0) this.arrive()
  }

  arrive() {
    this.node = this.target
    this.kmh = 0
    this.restFrom = this.rng.between(15_000, 90_000)
    this.restMs = this.restFrom
    const told = this.onArrival
    this.onArrival = null
    told?.()
  }

  /** Makes a fix at Unix time `now`; none while silent. */
  report(now) {
    if (this.silentMs > 0) return null
    const jitter = () => (this.rng.next() - 0.5) * 0.00001
    this.fix = {
      lon: this.at[0] + jitter(), lat: this.at[1] + jitter(), kmh: this.kmh < 1 ? 0 : this.kmh, heading: this.heading,
      time: now, engine: this.engineOn,
    }
    const last = this.track.at(-1)
    if (!last || now - last[0] >= 4_900) {
      this.track.push([now, round(this.fix.lon), round(this.fix.lat), Math.round(this.fix.kmh)])
      if (this.track[0][0] < now - TRACK_MS) this.track.shift()
    }
    return this.fix
  }

  status(now) {
    if (!this.fix || now - this.fix.time > 60_000) return 'silent'
    if (this.fix.kmh >= 3) return 'moving'
    return this.fix.engine ? 'idling' : 'stopped'
  }

  engine() {
    return {
      rpm: this.engineOn ? Math.round(780 + this.kmh * 38) : 0, coolant_c: Math.round(this.coolant),
      fuel_percent: Math.round(this.fuel), battery_v: this.engineOn ? 14.1 : 12.6, odometer_km: Math.round(this.odometer),
    }
  }
}

const round = (value) => Math.round(value * 1e6) / 1e6
