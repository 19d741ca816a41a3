/** Pictures of every page in both themes and sizes, for looking at: node tests/shots.mjs FOLDER [name...] */
import { mkdirSync } from 'node:fs'

import { DevServer } from '../dev/server.mjs'
import { launch, openPage } from './browser.mjs'

const [folder = '.out/shots', ...only] = process.argv.slice(2)
mkdirSync(folder, { recursive: true })
const server = await new DevServer({ seed: 7, vehicles: 28 }).start()
const browser = await launch()
const desk = { width: 1440, height: 900 }
const phone = { width: 390, height: 844, touch: true }
const DISPATCHER = { token: 'dev-dispatcher' }
const underWay = [...server.world.desk.orders.values()].find((order) => order.state === 'under_way')
const link = server.world.desk.share(underWay.id, 3600)
const [lon, lat] = [underWay.stops[0].position.lon, underWay.stops[0].position.lat]
const around = [[-0.008, -0.004], [0.008, -0.004], [0.006, 0.004], [-0.006, 0.005], [-0.008, -0.004]].map(([x, y]) => [lon + x, lat + y])
server.world.desk.fences.set('depot', { type: 'Feature', id: 'depot', properties: { name: 'Depot Kallio' }, geometry: { type: 'Polygon', coordinates: [around] } })
const settle = (page, ms = 2500) => page.waitForTimeout(ms)

const SHOTS = {
  map: ['/', DISPATCHER, async () => {}],
  vehicle: ['/', DISPATCHER, async (page) => page.evaluate((id) => window.drover.select(id), underWay.vehicle)],
  orders: ['/', DISPATCHER, async (page) => page.click('.tab:nth-child(2)')],
  order: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:nth-child(2)')
    await page.click('[data-column="under_way"] .card')
    await page.waitForTimeout(700)
    await page.click('text=Create share link').catch(() => {})
  }],
  create: ['/', DISPATCHER, async (page) => {
    await page.keyboard.press('n')
    await page.mouse.click(700, 500)
  }],
  messages: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:nth-child(3)')
    await page.click('.scroll .vehicle')
  }],
  route: ['/', DISPATCHER, async (page) => {
    await page.evaluate(() => window.drover.select('VAN-0001'))
    await page.click('text=Plan route')
  }],
  scrub: ['/', DISPATCHER, async (page) => {
    for (let i = 0; i < 12; i++) await page.keyboard.press('[')
    await page.waitForTimeout(1500)
  }],
  trips: ['/', DISPATCHER, async (page) => {
    await page.evaluate((id) => window.drover.select(id), underWay.vehicle)
    await page.click('.panel >> text=Trips')
    await page.waitForSelector('.days')
    await page.waitForTimeout(600)
    await page.locator('.trip').first().click().catch(() => {})
  }],
  areas: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:nth-child(4)')
    await page.locator('.side .vehicle').first().click()
  }],
  draw: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:nth-child(4)')
    await page.click('text=New area')
    const box = await page.locator('.map').boundingBox()
    for (const [x, y] of [[0.3, 0.1], [0.7, 0.12], [0.6, 0.25]]) await page.mouse.click(box.x + box.width * x, box.y + box.height * y)
  }],
  audit: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:has-text("Audit")')
    await page.waitForSelector('.note')
  }],
  faults: ['/', DISPATCHER, async (page) => {
    await page.click('.tab:has-text("Faults")')
    await page.locator('.fault button').first().click()
    await page.locator('.node button').nth(2).click()
  }],
  help: ['/', DISPATCHER, async (page) => page.keyboard.press('?')],
  driver: ['/driver', { token: 'dev-driver:VAN-0001' }, async () => {}],
  talk: ['/driver', { token: 'dev-driver:VAN-0001' }, async (page) => page.click('.foot button:nth-child(2)')],
  customer: [link.url, {}, async () => {}],
  over: ['/d/dsl_unknown', {}, async () => {}],
  signin: ['/sign-in', {}, async () => {}],
}
for (const [name, [path, options, act]] of Object.entries(SHOTS)) {
  if (only.length && !only.includes(name)) continue
  for (const [size, view] of [['desk', desk], ['phone', phone]]) {
    for (const theme of size === 'desk' && process.env.QUICK ? ['light'] : ['light', 'dark']) {
      if (process.env.QUICK && size === 'phone' && theme === 'light') continue
      const { page, close, faults } = await openPage(browser, server.url, path, { ...options, ...view, theme })
      await settle(page)
      await act(page)
      await settle(page, 1200)
      await page.screenshot({ path: `${folder}/${name}-${size}-${theme}.png` })
      if (faults.length) console.log(name, size, theme, faults)
      await close()
    }
  }
}
await browser.close()
await server.stop()
process.exit(0)
