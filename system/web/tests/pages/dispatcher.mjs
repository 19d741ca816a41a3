/** The map: vehicles move, are found, filtered, chosen, looked back at. */
import { DevServer } from '../../dev/server.mjs'
import { check, own, until } from './world.mjs'

const moving = async (page) => {
  const ids = await page.evaluate(() => window.drover.ids())
  for (const id of ids) {
    const at = await page.evaluate((each) => window.drover.position(each), id)
    if (at?.status === 'moving') return id
  }
  return null
}

export const tests = {
  async 'a vehicle moves on the map'({ open }) {
    const { page } = await open('/', 'dispatcher')
    const id = await until(() => moving(page), 'a vehicle that moves')
    const fixes = new Set()
    const places = new Set()
    await until(async () => {
      const [at, screen] = await page.evaluate((each) => [window.drover.position(each), window.drover.screen(each)], id)
      fixes.add(at.fixTimeMs)
      places.add(`${screen.x.toFixed(1)}/${screen.y.toFixed(1)}`)
      return fixes.size >= 3 && places.size >= 5
    }, `three fixes and five places of ${id}`)
    check((await page.evaluate((each) => window.drover.position(each).ageMs, id)) < 10_000, 'its age is small')
  },

  async 'what is drawn is drawn: the markers leave colour on their canvas'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    const id = await until(() => page.evaluate(() => window.drover.ids().find((each) => window.drover.screen(each) && !window.drover.screen(each).hidden)), 'a shown vehicle')
    const spot = await page.evaluate((each) => window.drover.screen(each), id)
    const box = await page.locator('.map').boundingBox()
    const clip = { x: Math.max(0, box.x + spot.x - 14), y: Math.max(0, box.y + spot.y - 14), width: 28, height: 28 }
    const withMarker = await page.screenshot({ clip })
    await page.addStyleTag({ content: '.map-overlay { visibility: hidden; }' })
    const without = await page.screenshot({ clip })
    check(!withMarker.equals(without), 'the picture differs where the vehicle is')
  },

  async 'a click on a vehicle opens its panel, with engine values and an age'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await page.waitForTimeout(500)
    const box = await page.locator('.map').boundingBox()
    const spot = await until(async () => page.evaluate(() => {
      for (const id of window.drover.ids()) {
        const at = window.drover.screen(id)
        if (at && !at.hidden && at.x > 60 && at.y > 60 && at.x < 700 && at.y < 600) return { id, ...at }
      }
      return null
    }), 'a vehicle in the open')
    await page.mouse.click(box.x + spot.x, box.y + spot.y)
    await page.waitForSelector('.panel .facts')
    await page.waitForSelector('.panel .gauges')
    check(/Updated|Stand/.test(await page.locator('.panel').innerText()), 'its age is said')
  },

  async 'search, group and status narrow list and map together'({ open }) {
    const { page } = await open('/', 'dispatcher')
    const all = await until(() => page.evaluate(() => window.drover.vehicles().listed), 'a list')
    const id = (await page.evaluate(() => window.drover.ids())).sort()[0]
    await page.keyboard.press('/')
    await page.keyboard.type(id)
    await until(async () => (await page.evaluate(() => window.drover.vehicles().listed)) < all, 'fewer rows')
    const rows = await page.locator('.vehicles .vehicle').allInnerTexts()
    check(rows.length > 0 && rows.every((text) => text.includes(id)), 'rows match the search')
    await page.fill('#search', '')
    const counts = await page.evaluate(() => window.drover.counts())
    const status = Object.entries(counts).find(([, n]) => n > 0)[0]
    const at = ['moving', 'idling', 'stopped', 'silent'].indexOf(status)
    await page.locator('.chip').nth(at).click()
    check((await page.locator('.chip').nth(at).getAttribute('aria-pressed')) === 'false', 'the chip says that it is off')
    await until(() => page.evaluate((name) => window.drover.ids().filter((each) => window.drover.position(each).status === name).every((each) => window.drover.screen(each).hidden), status), `${status} vehicles are not drawn`)
  },

  async 'zoomed out, vehicles are drawn together with their number'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    const before = await page.evaluate(() => window.drover.clusters())
    await page.evaluate(() => {
      const at = window.drover.position(window.drover.ids()[0])
      window.drover.jump(at.lon, at.lat, 9)
    })
    await until(() => page.evaluate(() => window.drover.clusters() > 0), 'a cluster')
    check(before >= 0, 'clusters are counted')
    await page.evaluate(() => {
      const at = window.drover.position(window.drover.ids()[0])
      window.drover.jump(at.lon, at.lat, 16)
    })
    await until(() => page.evaluate(() => window.drover.clusters() === 0), 'none close by')
  },

  async 'looking back shows where vehicles were, and comes back to live'({ open }) {
    const { page } = await open('/', 'dispatcher')
    const id = await until(() => moving(page), 'a vehicle that moves')
    const where = () => page.evaluate((each) => window.drover.screen(each), id)
    const live = await where()
    for (let n = 0; n < 20; n++) await page.keyboard.press('[')
    await page.waitForSelector('.scrub.past')
    const then = await until(async () => {
      const at = await where()
      return at && Math.hypot(at.x - live.x, at.y - live.y) > 5 ? at : null
    }, 'the vehicle was elsewhere twenty minutes ago', 20_000).catch(() => null)
    if (!then) return 'the server has no track of twenty minutes ago'
    await page.waitForTimeout(1500)
    const still = await where()
    check(Math.abs(still.x - then.x) < 1 && Math.abs(still.y - then.y) < 1, 'the past stands still')
    await page.keyboard.press('l')
    await until(async () => {
      const at = await where()
      return Math.hypot(at.x - live.x, at.y - live.y) < 200 && !(await page.locator('.scrub.past').count())
    }, 'live again')
    return undefined
  },

  async 'one looks back for hours, and no hour is asked for but those that are looked at'({ browser, world }) {
    if (!world.server) return 'only a server of our own has hours behind it'
    const vehicles = 6
    const hours = await own(await new DevServer({ seed: 7, vehicles, history_s: 3.3 * 3600 }).start())
    const opened = []
    try {
      const { page, faults } = await hours.open(browser, opened, '/', 'dispatcher')
      const asked = []
      page.on('request', (request) => request.url().includes('/track?') && asked.push(new URL(request.url())))
      const slide = (minutes) => page.locator('.scrub input').evaluate((input, value) => {
        input.value = value
        input.dispatchEvent(new Event('input', { bubbles: true }))
      }, minutes)
      const shown = () => page.evaluate(() => window.drover.ids().filter((id) => window.drover.screen(id)).length)
      const loaded = (n) => until(async () => asked.length === n && !(await page.locator('.scrub').innerText()).includes('Loading'), `${n} tracks are asked for, not ${asked.length}`)
      // So long ago that a minute more is of the same hour, whatever the time is.
      const minute = Math.floor(Date.now() / 60_000) % 60
      const ago = minute > 15 ? minute - 10 : minute + 30
      const first = await page.locator('.scrub input').getAttribute('min')
      check(first === '-60', 'an hour at first')
      await slide(-ago)
      await loaded(vehicles)
      await page.selectOption('.scrub select', '3')
      check((await page.locator('.scrub input').getAttribute('min')) === '-180', 'then three')
      await slide(-ago - 120)
      await loaded(2 * vehicles)
      check((await shown()) === vehicles, 'all of them were somewhere')
      for (const url of asked) {
        const [from, until] = ['from', 'until'].map((name) => Date.parse(url.searchParams.get(name)))
        check(until - from <= 62 * 60_000 && url.searchParams.get('points') === '720', `an hour at a time: ${url.search}`)
      }
      await slide(-ago - 1)
      await page.waitForTimeout(1000)
      check(asked.length === 2 * vehicles, 'what is there is not asked for again')
      check((await shown()) === vehicles, 'and shown')
      await page.reload()
      check((await page.locator('.scrub select').inputValue()) === '3', 'it is remembered')
      check(faults.length === 0, faults.join('; '))
    } finally {
      for (const each of opened) await each.close()
      await hours.stop()
    }
    return undefined
  },

  async 'of a large fleet some are looked back at, and the page says how many'({ browser, world }) {
    if (!world.server) return 'only a server of our own is as large as that'
    const many = await own(await new DevServer({ seed: 7, vehicles: 1_100 }).start())
    const opened = []
    try {
      const { page, faults } = await many.open(browser, opened, '/', 'dispatcher')
      await until(() => page.evaluate(() => window.drover.vehicles().listed === 1_100), 'all of them')
      await page.keyboard.press('[')
      await page.waitForSelector('.scrub:has-text("of 1000")')
      check((await page.locator('.scrub').innerText()).includes('Loading'), 'it says that it loads')
      await page.locator('#search').fill('VAN-10')
      await until(async () => !(await page.locator('.scrub').innerText()).includes('of 1000'), 'fewer are looked for')
      check(faults.length === 0, faults.join('; '))
    } finally {
      for (const each of opened) await each.close()
      await many.stop()
    }
    return undefined
  },

  async 'a keyboard alone is enough'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await until(() => page.evaluate(() => window.drover.vehicles().listed > 1), 'a list')
    await page.keyboard.press('j')
    const first = await until(() => page.evaluate(() => window.drover.selected()), 'a choice')
    await page.keyboard.press('j')
    await until(async () => (await page.evaluate(() => window.drover.selected())) !== first, 'the next one')
    await page.keyboard.press('k')
    await until(async () => (await page.evaluate(() => window.drover.selected())) === first, 'the one before')
    await page.keyboard.press('Escape')
    await until(() => page.evaluate(() => window.drover.selected() === null), 'nothing chosen')
    await page.keyboard.press('?')
    await page.waitForSelector('dialog[open] .keys')
    await page.keyboard.press('Escape')
    await page.waitForSelector('dialog[open]', { state: 'detached' })
    await page.keyboard.press('o')
    await page.waitForSelector('.board')
    await page.keyboard.press('v')
    const dark = await page.evaluate(() => document.documentElement.dataset.theme)
    await page.keyboard.press('t')
    await page.keyboard.press('t')
    await until(async () => (await page.evaluate(() => document.documentElement.dataset.theme)) !== dark, 'another theme')
    // Tab reaches the list and the map's controls, and what has the focus is seen.
    const reached = new Set()
    for (let n = 0; n < 60; n++) {
      await page.keyboard.press('Tab')
      reached.add(await page.evaluate(() => {
        const at = document.activeElement
        const ring = getComputedStyle(at).outlineStyle
        return `${at.closest('.bar') ? 'bar' : at.closest('.tabs') ? 'tabs' : at.closest('.side') ? 'side' : at.closest('.map') ? 'map' : at.closest('.map-tools') ? 'tools' : at.closest('.scrub') ? 'scrub' : 'other'}${ring === 'none' ? ' without ring' : ''}`
      }))
      if (['bar', 'tabs', 'side', 'tools', 'scrub'].every((part) => reached.has(part))) break
    }
    for (const part of ['bar', 'tabs', 'side', 'tools', 'scrub']) check(reached.has(part), `Tab reaches ${part}: ${[...reached]}`)
  },

  async 'asked for its viewport alone, the map still shows what is in it'({ open }) {
    const { page } = await open('/?follow=viewport', 'dispatcher')
    const sent = []
    page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => sent.push(String(payload))))
    await page.reload()
    await page.waitForFunction(() => (window.drover?.vehicles().known ?? 0) > 0)
    await page.waitForSelector('.maplibregl-canvas')
    await page.evaluate(() => {
      const at = window.drover.position(window.drover.ids()[0])
      window.drover.jump(at.lon, at.lat, 15)
    })
    await until(() => sent.some((text) => text.includes('"viewport"')), 'a viewport is subscribed')
    check(!sent.some((text) => text.includes('"SUBSCRIBE","topic":"live_updates:all"')), 'and not everything')
    await until(() => page.evaluate(() => window.drover.ids().some((id) => !window.drover.screen(id).hidden && window.drover.position(id).ageMs < 1500)), 'fresh positions')
  },

  async 'names, labels and times are German for a German'({ open }) {
    const { page } = await open('/', 'dispatcher', { locale: 'de-DE' })
    check((await page.locator('.tabs').innerText()).includes('Aufträge'), 'the tabs are German')
    check((await page.evaluate(() => document.documentElement.lang)) === 'de', 'the document says so')
  },

  async 'what a service finds out is said'({ open, world }) {
    if (!world.server) return 'an insight comes over the bus: only a server of our own can be made to tell one'
    const { page } = await open('/', 'dispatcher')
    await until(() => page.evaluate(() => window.drover.link() === 'live'), 'a link')
    world.server.world.desk.tell('insight', { id: 'battery', vehicle: 'VAN-0002', topic: 'maintenance', severity: 'warning', text: 'The battery gets weak' })
    await page.waitForSelector('.toast.insight:has-text("VAN-0002: The battery gets weak")')
  },
}
