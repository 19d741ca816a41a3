/** The server that the page tests run against: one of their own, or any other by its address. */
import { randomUUID } from 'node:crypto'
import { execSync } from 'node:child_process'

import { openPage } from '../browser.mjs'

class Tested {
  constructor(url, tokens) {
    this.url = url.replace(/\/$/, '')
    this.tokens = tokens
  }

  /** Opens a page that the runner closes. `who` is dispatcher, driver, viewer or null. */
  async open(browser, opened, path, who = null, options = {}) {
    // A town that runs here names another place, for its faults.
    const { faults } = await this.config()
    const each = await openPage(browser, this.url, path, { ...options, others: faults ? [faults] : [], token: who === null ? null : this.token(who) })
    opened.push(each)
    return each
  }

  token(who) {
    const token = this.tokens[who]
    if (!token) throw new Error(`no token for ${who}: name it in DROVER_${who.toUpperCase()}`)
    return token
  }

  /** One call of the HTTP API as `who`; throws a refusal. */
  async api(who, method, path, body) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { authorization: `Bearer ${this.token(who)}`, 'content-type': 'application/json', 'idempotency-key': randomUUID() },
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text ? JSON.parse(text) : null
  }

  /** The vehicle of the driver whose token we have. */
  async driverVehicle() {
    return (await this.api('driver', 'GET', '/me')).vehicle
  }

  /** An order of `n` stops near the middle of the map, given to `vehicle`. */
  async order(customer, n, vehicle = null) {
    const { center } = await this.config()
    const due = (minutes) => new Date(Date.now() + minutes * 60_000).toISOString()
    const stops = Array.from({ length: n }, (_, at) => ({ lon: center[0] + 0.001 * at, lat: center[1] + 0.0007 * at, due_from: due(10 * at), due_until: due(10 * at + 60) }))
    const order = await this.api('dispatcher', 'POST', '/orders', { customer, stops })
    return vehicle ? this.api('dispatcher', 'POST', `/orders/${order.id}/state`, { from: 'planned', to: 'assigned', vehicle }) : order
  }

  async config() {
    for (const path of ['/api/v1/config.json', '/config.json']) {
      const response = await fetch(this.url + path)
      if (response.ok) return response.json()
    }
    throw new Error(`${this.url} has no config.json`)
  }
}

export async function own(server) {
  const world = new Tested(server.url, { dispatcher: 'dev-dispatcher', driver: 'dev-driver:VAN-0001', viewer: 'dev-viewer' })
  const { port } = server
  world.kill = () => server.stop()
  world.start = () => server.start(port)
  world.stop = () => server.stop()
  world.server = server
  return world
}

export async function outside(url) {
  const world = new Tested(url, {})
  const { demo = [] } = await world.config()
  for (const role of ['dispatcher', 'driver', 'viewer']) {
    world.tokens[role] = process.env[`DROVER_${role.toUpperCase()}`] ?? demo.find((each) => each.role === role)?.token
  }
  const { DROVER_KILL, DROVER_START } = process.env
  if (DROVER_KILL && DROVER_START) {
    world.kill = async () => execSync(DROVER_KILL, { stdio: 'inherit' })
    world.start = async () => execSync(DROVER_START, { stdio: 'inherit' })
  }
  world.stop = async () => {}
  return world
}

export function check(fact, what) {
  if (!fact) throw new Error(`not so: ${what}`)
}

/** Waits until `ask` gives something true, asking ten times a second. */
export async function until(ask, what, ms = 30_000) {
  const end = Date.now() + ms
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
