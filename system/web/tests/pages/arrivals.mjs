/** Predicted arrivals: an estimate for the dispatcher and the driver, a range for the customer; late is said. */
import { check, until } from './world.mjs'

const CLOCK = /expected \d\d:\d\d/

export const tests = {
  async 'a stop has an expected arrival for dispatcher and driver, and one that will be late says so'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const { center } = await world.config()
    const due = (minutes) => new Date(Date.now() + minutes * 60_000).toISOString()
    // Out of town, and due in a minute: nobody is there in time.
    const stops = [{ lon: center[0] + 0.3, lat: center[1] + 0.1, due_from: due(0), due_until: due(1) }]
    const made = await world.api('dispatcher', 'POST', '/orders', { customer: 'Far Away', stops })
    await world.api('dispatcher', 'POST', `/orders/${made.id}/state`, { from: 'planned', to: 'assigned', vehicle })
    const { page } = await open('/', 'dispatcher')
    await page.evaluate((each) => window.drover.select(each), vehicle)
    const row = page.locator('.panel .stop-row:has-text("Far Away")')
    await until(async () => (await row.count()) > 0 && CLOCK.test(await row.innerText()), 'a time')
    check(/min too late/.test(await row.innerText()), 'it says that it will be late')
    const phone = await open('/driver', 'driver', { width: 390, height: 844 })
    await until(async () => CLOCK.test(await phone.page.locator('.driver').innerText()), 'the driver is told too', 30_000)
    const told = await world.api('dispatcher', 'GET', `/vehicles/${vehicle}/arrivals`)
    const there = told.items.find((each) => each.order === made.id)
    check(there.earliest < there.expected && there.expected < there.latest && there.late_s > 0, JSON.stringify(there))
    await world.api('dispatcher', 'POST', `/orders/${made.id}/state`, { from: 'assigned', to: 'cancelled' })
  },

  async 'a customer sees a range while the vehicle is on its way, and nothing before'({ open, world }) {
    const vehicle = await world.driverVehicle()
    const order = await world.order('Foretold', 1, vehicle)
    const link = await world.api('dispatcher', 'POST', `/orders/${order.id}/share-links`, { expires_s: 3600 })
    const { page } = await open(link.url, null, { width: 390, height: 844 })
    await page.waitForSelector('.window')
    check((await page.locator('.expected').count()) === 0, 'nothing is foretold before it has set out')
    await world.api('dispatcher', 'POST', `/orders/${order.id}/state`, { from: 'assigned', to: 'under_way' })
    await page.reload()
    await page.waitForSelector('.expected')
    check(/\d\d:[0-5][05]\s*–\s*\d\d:[0-5][05]/.test(await page.locator('.expected').innerText()), await page.locator('.expected').innerText())
    const token = link.url.split('/d/')[1]
    const told = await (await fetch(`${world.url}/api/v1/delivery`, { headers: { authorization: `Bearer ${token}` } })).json()
    check(Object.keys(told.expected).sort().join() === 'from,late,until', 'a range, and no distance or stop of others')
    await world.api('dispatcher', 'POST', `/orders/${order.id}/state`, { from: 'under_way', to: 'failed' })
  },
}
