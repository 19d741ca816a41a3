/** A hub or a router that dies while a page watches: another takes over, and the page goes on. */
import { check, until } from './world.mjs'

/** Ages of a fleet that sends every five seconds, at most, once all is well. */
const WELL_MS = 9_000
/** Longest that a page may show nothing new: two seconds of silence, an answer, and another hub; slow machines need more. */
const OLDEST_MS = 15_000

async function opened({ open, world, browser }, carrier) {
  if (world.server || !(await world.config()).faults) return 'the server has no faults, or breaks nothing'
  const each = await open('/', 'dispatcher')
  if (carrier === 'web_socket') {
    await each.context.addInitScript(() => delete window.WebTransport)
    await each.page.reload()
  }
  const { page } = each
  await page.click('.tab:has-text("Faults")')
  await page.waitForSelector('.node')
  for (const node of ['hub/1', 'router/1']) if (!(await page.locator(`.node[data-node="${node}"]`).count())) return `the scenario has no ${node}`
  await until(() => page.evaluate(() => window.drover.link() === 'live' && window.drover.vehicles().known > 0), 'a link')
  check((await page.evaluate(() => document.documentElement.dataset.carrier)) === carrier, `by ${carrier}`)
  await until(() => well(page), 'all are heard of', 60_000)
  await watched(page)
  return page
}

const well = (page) => page.evaluate((most) => {
  const ages = window.drover.ids().map((id) => window.drover.position(id).ageMs).sort((a, b) => a - b)
  return ages.length > 0 && ages[Math.floor(ages.length * 0.9)] < most
}, WELL_MS)

/** Looks at every vehicle twenty times a second, and notes what may never be seen. */
const watched = (page) => page.evaluate(() => {
  const newest = new Map()
  window.wrong = []
  window.oldest = 0
  const ids = window.drover.ids().sort().join()
  setInterval(() => {
    const known = window.drover.ids()
    if (known.sort().join() !== ids) window.wrong.push(`vehicles are ${known.length} now`)
    for (const id of known) {
      const now = window.drover.position(id)
      const before = newest.get(id)
      if (before && now.fixTimeMs < before.fixTimeMs) window.wrong.push(`${id} went back by ${before.fixTimeMs - now.fixTimeMs} ms`)
      if (before && now.fixTimeMs === before.fixTimeMs && (now.lon !== before.lon || now.lat !== before.lat)) window.wrong.push(`${id} is at two places at once`)
      newest.set(id, now)
    }
    window.oldest = Math.max(window.oldest, Math.min(...known.map((id) => window.drover.position(id).ageMs)))
  }, 50)
})

/** Waits until vehicles that drove have driven on, and all are as fresh as before. */
async function goesOn(page, what) {
  const before = await page.evaluate(() => window.drover.ids().map((id) => ({ id, ...window.drover.position(id) })).filter(({ status }) => status === 'moving'))
  check(before.length > 0, 'some drive')
  await until(() => page.evaluate((all) => all.filter(({ id, fixTimeMs, lon, lat }) => {
    const now = window.drover.position(id)
    return now.fixTimeMs > fixTimeMs + 5_000 && (now.lon !== lon || now.lat !== lat)
  }).length >= all.length * 0.8, before), `${what}: those who drove have driven on`, 60_000)
  await until(() => well(page), `${what}: ages are small again`)
  const wrong = await page.evaluate(() => window.wrong)
  check(wrong.length === 0, `${what}: ${wrong.slice(0, 5).join('; ')}`)
}

/** How long nothing came: what the page can not hear of it asks for within that. */
async function said(page, what, carrier) {
  const oldest = await page.evaluate(() => window.oldest)
  console.log(`     ${what} by ${carrier}: the freshest position was ${Math.round(oldest)} ms old at most`)
  check(oldest < OLDEST_MS, `${Math.round(oldest)} ms without anything new`)
}

async function deed(page, node, word, state) {
  const row = page.locator(`.node[data-node="${node}"]`)
  await row.locator(`button:has-text("${word}")`).click()
  await until(async () => new RegExp(state).test(await row.innerText()), `${node} is ${state}`)
}

async function hubDies(each, carrier) {
  const page = await opened(each, carrier)
  if (typeof page === 'string') return page
  const hub = await page.evaluate(() => window.drover.hub())
  await deed(page, hub, 'Kill', 'Down')
  try {
    await until(() => page.evaluate((gone) => window.drover.link() === 'live' && window.drover.hub() !== gone, hub), `another hub than ${hub}`, 45_000)
    await goesOn(page, hub)
    check((await page.locator('.banner').count()) === 0, 'nothing is said any more')
    await said(page, hub, carrier)
  } finally {
    await deed(page, hub, 'Start', 'Up')
  }
  return undefined
}

async function routersDie(each, carrier) {
  const page = await opened(each, carrier)
  if (typeof page === 'string') return page
  // One of them carries the page: which, the system knows.
  for (const router of ['router/0', 'router/1']) {
    await deed(page, router, 'Kill', 'Down')
    try {
      await goesOn(page, router)
      check((await page.evaluate(() => window.drover.link())) === 'live', 'the link is there')
    } finally {
      await deed(page, router, 'Start', 'Up')
    }
  }
  await said(page, 'routers', carrier)
  return undefined
}

export const tests = {
  'another hub takes over a page, over UDP': (each) => hubDies(each, 'web_transport'),
  'another hub takes over a page, over TCP': (each) => hubDies(each, 'web_socket'),
  'another router takes over a page, over UDP': (each) => routersDie(each, 'web_transport'),
  'another router takes over a page, over TCP': (each) => routersDie(each, 'web_socket'),
}
