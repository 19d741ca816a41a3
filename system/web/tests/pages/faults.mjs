/** Faults of a town that runs here: struck by a click, shown, survived. Where there is no such endpoint there is no pane. */
import { check, until } from './world.mjs'

const link = (page) => page.evaluate(() => window.drover.link())

async function openFaults({ open, world }) {
  const opened = await open('/', 'dispatcher')
  if (!(await world.config()).faults) {
    check((await opened.page.locator('.tab').count()) === 4, 'no pane without an endpoint')
    return null
  }
  await opened.page.click('.tab:has-text("Faults")')
  await opened.page.waitForSelector('.node')
  return opened.page
}

export const tests = {
  async 'a fault of the scenario is struck by a click, is seen to be active and over'(each) {
    const page = await openFaults(each)
    if (page === null) return 'the server has no faults'
    const free = page.locator('.fault:has(button:has-text("Strike"))')
    if ((await free.count()) === 0) return 'the scenario names no faults that happen here'
    const fault = page.locator(`.fault[data-fault="${await free.first().getAttribute('data-fault')}"]`)
    check(/Waiting|Over/.test(await fault.innerText()), 'nobody has struck it')
    await fault.locator('button').click()
    await until(async () => /Active/.test(await fault.innerText()), 'it is active')
    check((await page.locator('.tab:has-text("Faults") .count').innerText()) === '1', 'the tab says so')
    await fault.locator('button:has-text("End")').click()
    await until(async () => /Over/.test(await fault.innerText()), 'it is over')
    for (const other of await page.locator('.fault:has-text("Not here")').all()) check((await other.locator('button').count()) === 0, 'what can not be shown has no button')
    return undefined
  },

  async 'a hub that is killed by a click is said, survived, and started by another'(each) {
    const page = await openFaults(each)
    if (page === null) return 'the server has no faults'
    const hub = page.locator('.node[data-node="hub/0"]')
    await until(async () => (await link(page)) === 'live', 'a link')
    await hub.locator('button:has-text("Kill")').click()
    await until(async () => /Down/.test(await hub.innerText()), 'it is down')
    const real = !each.world.server
    if (real) {
      await page.waitForSelector('.banner')
      check((await link(page)) !== 'live', 'the page has lost its hub')
      await page.waitForTimeout(2000)
      check(/Down/.test(await hub.innerText()), 'it stays down until somebody starts it, and the pane still answers')
    }
    await hub.locator('button:has-text("Start")').click()
    await until(async () => /Up/.test(await hub.innerText()), 'it is up')
    await until(async () => (await link(page)) === 'live', 'the link mends itself', 40_000)
    await until(() => page.evaluate(() => window.drover.ids().some((id) => window.drover.position(id).ageMs < 3000)), 'vehicles move again', 30_000)
    return undefined
  },

  async 'a viewer has no faults'({ open, world }) {
    if (!(await world.config()).faults) return 'the server has no faults'
    const { page } = await open('/', 'viewer')
    await page.waitForTimeout(1500)
    check((await page.locator('.tab').count()) === 4, 'no pane for viewers')
    return undefined
  },
}
