/** axe-core finds no violation, on any page, in either theme, on desk and phone. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const RULES = { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }
const phone = { width: 390, height: 844, touch: true }

async function violations(page) {
  // Not by a script tag: the page's policy allows none.
  const session = await page.context().newCDPSession(page)
  await session.send('Runtime.evaluate', { expression: AXE })
  const { result } = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, ${JSON.stringify(RULES)}).then((found) => JSON.stringify(found.violations.map((each) => ({ id: each.id, nodes: each.nodes.slice(0, 4).map((node) => node.target.join(' ') + ' ' + (node.failureSummary ?? '').split('\\n').slice(1, 3).join(' ')) }))))`,
    awaitPromise: true, returnByValue: true,
  })
  return JSON.parse(result.value)
}

async function clean(page, what) {
  // What is still fading in has not its colours yet.
  await page.evaluate(async () => {
    const finite = document.getAnimations().filter((each) => each.effect?.getComputedTiming().endTime !== Infinity)
    await Promise.all(finite.map((each) => each.finished.catch(() => null)))
  })
  const found = await violations(page)
  if (found.length) throw new Error(`${what}: ${found.map((each) => `${each.id}\n    ${each.nodes.join('\n    ')}`).join('\n  ')}`)
}

async function dispatcher(page) {
  await page.waitForSelector('.maplibregl-canvas')
  await clean(page, 'vehicles')
  const id = await page.evaluate(() => window.drover.ids()[0])
  await page.evaluate((each) => window.drover.select(each), id)
  await page.waitForSelector('.panel .facts')
  await clean(page, 'vehicle panel')
  await page.keyboard.press('Escape')
  await page.click('.tab:nth-child(2)')
  await clean(page, 'orders')
  await page.locator('.card').first().click()
  await page.waitForSelector('.panel .timeline')
  await clean(page, 'order panel')
  await page.keyboard.press('Escape')
  await page.keyboard.press('n')
  await page.click('text=Add stop at map centre')
  await clean(page, 'new order')
  await page.keyboard.press('Escape')
  await page.keyboard.press('Escape')
  await page.click('.tab:nth-child(3)')
  await clean(page, 'messages')
  if (await page.locator('.scroll .vehicle').count()) {
    await page.locator('.scroll .vehicle').first().click()
    await clean(page, 'thread')
  }
  await page.click('.tab:nth-child(4)')
  await page.waitForSelector('.side h2')
  await clean(page, 'areas')
  if (await page.locator('text=New area').count()) {
    await page.click('text=New area')
    for (let n = 0; n < 2; n++) await page.click('text=Add corner at map centre')
    await clean(page, 'new area')
    await page.click('.side button[aria-label="Cancel"]')
  }
  if (await page.locator('.tab:has-text("Audit")').count()) {
    await page.click('.tab:has-text("Audit")')
    await page.waitForSelector('.note')
    await clean(page, 'audit trail')
    await page.selectOption('.note-filter select', 'revoke_share_link')
    await page.fill('.note-filter .wide input', 'nothing')
    await page.waitForSelector('.side .empty')
    await clean(page, 'audit trail of nothing')
    await page.click('text=Clear filter')
  }
  if (await page.locator('.tab:has-text("Faults")').count()) {
    await page.click('.tab:has-text("Faults")')
    await page.waitForSelector('.node')
    await clean(page, 'faults')
  }
  await page.evaluate((each) => window.drover.select(each), id)
  await page.click('.panel >> text=Trips')
  await page.waitForSelector('.days')
  await clean(page, 'trips')
  await page.keyboard.press('Escape')
  await page.keyboard.press('?')
  await page.waitForSelector('dialog[open]')
  await clean(page, 'keyboard help')
  await page.keyboard.press('Escape')
  for (let n = 0; n < 5; n++) await page.keyboard.press('[')
  await clean(page, 'the past')
}

export const tests = {}
for (const theme of ['light', 'dark']) {
  for (const [size, view] of [['desk', {}], ['phone', phone]]) {
    tests[`axe finds nothing: dispatcher, ${theme}, ${size}`] = async ({ open }) => dispatcher((await open('/', 'dispatcher', { theme, ...view })).page)
  }
  tests[`axe finds nothing: driver, ${theme}`] = async ({ open, world }) => {
    await world.order(`Axe ${theme}`, 2, await world.driverVehicle())
    const { page } = await open('/driver', 'driver', { theme, ...phone })
    await page.waitForSelector('.next')
    await clean(page, 'stops')
    await page.click('.foot button:nth-child(2)')
    await clean(page, 'messages')
  }
  tests[`axe finds nothing: customer and sign-in, ${theme}`] = async ({ open, world }) => {
    const orders = (await world.api('dispatcher', 'GET', '/orders?limit=1000')).items
    const order = orders.find((each) => each.state === 'under_way') ?? orders[0]
    const link = await world.api('dispatcher', 'POST', `/orders/${order.id}/share-links`, { expires_s: 3600 })
    const { page } = await open(link.url, null, { theme, ...phone })
    await page.waitForSelector('.status')
    await clean(page, 'delivery')
    await page.goto('/d/dsl_unknown')
    await page.waitForSelector('.over')
    await clean(page, 'over')
    await page.goto('/sign-in')
    await page.waitForSelector('.sheet button')
    await clean(page, 'sign-in')
  }
}
