/** The customer's page: one delivery, its vehicle and no other. */
import { check, until } from './world.mjs'

const phone = { width: 390, height: 844, touch: true }

async function underWay(world) {
  const orders = (await world.api('dispatcher', 'GET', '/orders?limit=1000')).items
  const order = orders.find((each) => each.state === 'under_way') ?? orders.find((each) => each.state === 'assigned')
  check(order, 'an order is under way')
  return order
}

export const tests = {
  async 'a share link shows its vehicle and no other'({ open, world }) {
    const order = await underWay(world)
    const link = await world.api('dispatcher', 'POST', `/orders/${order.id}/share-links`, { expires_s: 3600 })
    const frames = []
    const { page, context } = await open('/sign-in', null, phone)
    // What is said over a WebSocket can be listened to.
    await context.addInitScript(() => delete window.WebTransport)
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))))
    await page.goto(link.url)
    await page.waitForSelector('.status')
    await until(() => frames.some((text) => text.includes('"Feature"') && text.includes('"delivery"')), 'the vehicle comes over the link', 30_000)
    const text = frames.join('\n')
    const ids = new Set([...text.matchAll(/"id":"([^"]+)","geometry"/g)].map((match) => match[1]))
    check(ids.size === 1 && ids.has('delivery'), `only the delivery, not ${[...ids]}`)
    check(!/VAN-|"vehicle_id"|"engine"/.test(text), 'no name of a vehicle, no engine')
    await page.waitForSelector('.small-map canvas')
    check(/Updated/.test(await page.locator('.updated').innerText()), 'an age is said')
  },

  async 'the status is painted before any map library, which never comes'({ open, world }) {
    const order = await underWay(world)
    const link = await world.api('dispatcher', 'POST', `/orders/${order.id}/share-links`, { expires_s: 3600 })
    const { page } = await open('/sign-in', null, phone)
    const asked = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await page.goto(link.url)
    await page.waitForSelector('.status')
    await page.waitForSelector('.small-map canvas')
    check(!asked.some((path) => path.includes('maplibre')), `no map library in ${asked}`)
  },

  async 'a revoked link is over, and a guessed one never was'({ open, world }) {
    const order = await underWay(world)
    const link = await world.api('dispatcher', 'POST', `/orders/${order.id}/share-links`, { expires_s: 3600 })
    const { page } = await open(link.url, null, phone)
    await page.waitForSelector('.status')
    const id = link.id ?? (await world.api('dispatcher', 'GET', `/orders/${order.id}/share-links`)).items.at(-1).id
    await world.api('dispatcher', 'DELETE', `/share-links/${id}`)
    await page.waitForSelector('.over', { timeout: 30_000 })
    check((await page.locator('.small-map').count()) === 0, 'no map any more')
    await page.goto('/d/dsl_00000000000000000000000000000000')
    await page.waitForSelector('.over')
  },

  async 'a dispatcher makes a link and copies it'({ open, world }) {
    const order = await underWay(world)
    const { page, context } = await open('/', 'dispatcher')
    await context.grantPermissions(['clipboard-read', 'clipboard-write']).catch(() => {})
    await page.keyboard.press('o')
    await page.click(`[data-order="${order.id}"]`)
    await page.click('text=Create share link')
    await page.waitForSelector('#share-url')
    const url = await page.inputValue('#share-url')
    check(url.startsWith(`${world.url}/d/dsl_`), `a whole address, not ${url}`)
    await page.click('text=Copy link')
    await until(async () => (await page.locator('.toast').innerText().catch(() => '')).includes('copied'), 'it is said')
  },
}
