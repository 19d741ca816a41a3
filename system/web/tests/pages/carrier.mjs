/** What carries the session: WebTransport where the hub offers it, else a WebSocket. */
import { check, until } from './world.mjs'

const carrier = (page) => page.evaluate(() => document.documentElement.dataset.carrier)
const offered = async (world) => ((await world.config()).web_transport ? null : 'this server offers no WebTransport')

async function moves(page) {
  await until(() => page.evaluate(() => window.drover?.link() === 'live'), 'a link')
  const seen = await page.evaluate(() => Object.fromEntries(window.drover.ids().map((id) => [id, window.drover.position(id)])))
  await until(() => page.evaluate((before) => window.drover.ids().some((id) => {
    const now = window.drover.position(id)
    return before[id] && now.fixTimeMs > before[id].fixTimeMs && (now.lon !== before[id].lon || now.lat !== before[id].lat)
  }), seen), 'a vehicle that moves')
}

export const tests = {
  async 'a vehicle moves over WebTransport'({ open, world }) {
    const missing = await offered(world)
    if (missing) return missing
    const { page } = await open('/', 'dispatcher')
    await moves(page)
    check((await carrier(page)) === 'web_transport', `it is ${await carrier(page)}`)
    return undefined
  },

  async 'where UDP leads nowhere a WebSocket carries it in time'({ open, world }) {
    const missing = await offered(world)
    if (missing) return missing
    const each = await open('/sign-in')
    // As where a firewall drops what is sent: nothing is answered, and nothing refused.
    await each.context.addInitScript(() => {
      window.WebTransport = class {
        ready = new Promise(() => {})
        closed = new Promise(() => {})
        close() {}
      }
    })
    await each.context.addInitScript((token) => localStorage.setItem('drover.token', token), world.token('dispatcher'))
    const start = Date.now()
    await each.page.goto('/')
    await until(async () => (await carrier(each.page)) === 'web_socket', 'a WebSocket', 10_000)
    check(Date.now() - start < 9_000, 'it takes its place soon')
    await moves(each.page)
    return undefined
  },

  async 'a hub that can not be believed is not tried over and over'({ open, world }) {
    const missing = await offered(world)
    if (missing) return missing
    const each = await open('/sign-in')
    const config = await world.config()
    config.web_transport.hashes = ['00'.repeat(32)]
    await each.context.route('**/config.json', (route) => route.fulfill({ json: config }))
    await each.context.addInitScript((token) => localStorage.setItem('drover.token', token), world.token('dispatcher'))
    await each.page.goto('/')
    await until(async () => (await carrier(each.page)) === 'web_socket', 'a WebSocket', 10_000)
    await moves(each.page)
    return undefined
  },
}
