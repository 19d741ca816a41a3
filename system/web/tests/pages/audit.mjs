/** The audit trail: who did what, narrowed, page by page, and what is behind a note. */
import { check, until } from './world.mjs'

const notes = (page) => page.locator('.note')
const listed = (page) => page.locator('.note strong').allInnerTexts()

async function opened(open) {
  const { page } = await open('/', 'dispatcher')
  await page.waitForSelector('.maplibregl-canvas')
  await page.keyboard.press('u')
  await page.waitForSelector('.note')
  return page
}

export const tests = {
  async 'what somebody does is noted, newest first, and leads to its order'({ open, world }) {
    const customer = `Trail ${Date.now() % 100_000}`
    const order = await world.order(customer, 1)
    const page = await opened(open)
    await until(async () => (await page.locator(`.note .link:has-text("${customer}")`).count()) > 0 || (await page.click('button[aria-label="Look for new entries"]'), false), 'the new order is noted')
    const times = await page.locator('.note time').evaluateAll((all) => all.map((each) => each.getAttribute('datetime')))
    check(times.every((time, at) => at === 0 || time <= times[at - 1]), 'newest first')
    await page.locator(`.note .link:has-text("${customer}")`).first().click()
    await page.waitForSelector(`.panel h2:has-text("${customer}")`)
    await page.keyboard.press('Escape')
    await page.locator(`.note:has(.link:has-text("${customer}")) [data-part="only"]`).first().click()
    await until(async () => (await page.inputValue('.note-filter .wide input')) === order.id && (await notes(page).count()) === 1, 'only what concerns it')
    await page.click('text=Clear filter')
    await until(async () => (await notes(page).count()) > 1, 'all of it again')
  },

  async 'the trail is narrowed by kind and by person, and what does not match says so'({ open, world }) {
    await world.order('Trail of one', 1)
    const page = await opened(open)
    await page.selectOption('.note-filter select', 'create_order')
    await until(async () => new Set(await listed(page)).size === 1 && (await listed(page))[0] === 'Order created', 'orders that were created')
    const actor = await page.locator('.note-actor').first().innerText()
    await page.locator('.note-actor').first().click()
    await until(async () => new Set(await page.locator('.note-actor').allInnerTexts()).size === 1, 'of one person')
    check((await page.inputValue('.note-filter input[list]')) === actor, 'whom the field names')
    await page.fill('.note-filter input[list]', 'Nobody of this name')
    await page.waitForSelector('.side .empty:has-text("No entry matches the filter.")')
  },

  async 'older notes come page by page, and arrows walk through them'({ open }) {
    const page = await opened(open)
    const before = await notes(page).count()
    if (!(await page.locator('.side button:has-text("Older")').count())) return 'fewer notes than a page holds'
    await page.click('.side button:has-text("Older")')
    await until(async () => (await notes(page).count()) > before, 'older ones')
    const first = page.locator('.note-actor').first()
    await first.focus()
    await page.keyboard.press('ArrowDown')
    check(await page.evaluate(() => document.activeElement?.closest('.note') === document.querySelectorAll('.note')[1]), 'the next note')
    await page.keyboard.press('ArrowUp')
    check(await first.evaluate((element) => element === document.activeElement), 'and back')
  },

  async 'a trail that can not be read says so and is tried again'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await page.route('**/api/v1/audit?*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify({ detail: 'no agent answers' }) }))
    await page.click('.tab:has-text("Audit")')
    await page.waitForSelector('.side [role=alert]:has-text("no agent answers")')
    await page.unroute('**/api/v1/audit?*')
    await page.click('.side >> text=Try again')
    await page.waitForSelector('.note')
    check((await page.locator('.side [role=alert]').count()) === 0, 'and the fault is gone')
  },

  async 'who may not read the trail is not offered it'({ open }) {
    const { page } = await open('/', 'viewer')
    await page.waitForSelector('.maplibregl-canvas')
    await page.keyboard.press('u')
    check((await page.locator('.tab:has-text("Audit")').count()) === 0 && (await page.locator('.note-filter').count()) === 0, 'no tab, and no key')
  },
}
