/** A server that dies is said, and survived. */
import { check, until } from './world.mjs'

export const tests = {
  async 'a killed server is said and survived'({ open, world }) {
    if (!world.kill) return 'name commands in DROVER_KILL and DROVER_START'
    const { page } = await open('/', 'dispatcher')
    const phone = await open('/driver', 'driver', { width: 390, height: 844 })
    await until(() => page.evaluate(() => window.drover.link() === 'live'), 'a link')
    await page.waitForSelector('.maplibregl-canvas')
    await world.kill()
    await page.waitForSelector('.banner')
    check(/lost/i.test(await page.locator('.banner').innerText()), 'it is said in words')
    await until(async () => /lost|connecting/i.test(await page.locator('.pulse').innerText()), 'the header says so')
    await until(async () => !/All sent/.test(await phone.page.locator('.link-badge').innerText()), 'the driver sees it')
    const before = await page.evaluate(() => Math.min(...window.drover.ids().map((id) => window.drover.position(id).ageMs)))
    await page.waitForTimeout(3000)
    const after = await page.evaluate(() => Math.min(...window.drover.ids().map((id) => window.drover.position(id).ageMs)))
    check(after - before > 2000, 'ages go on: nothing looks fresh that is not')
    await world.start()
    await until(() => page.evaluate(() => window.drover.link() === 'live'), 'the link mends itself', 30_000)
    await page.waitForSelector('.banner', { state: 'detached' })
    await until(() => page.evaluate(() => window.drover.ids().some((id) => window.drover.position(id).ageMs < 1500)), 'fresh positions again')
    await until(async () => /All sent/.test(await phone.page.locator('.link-badge').innerText()), 'the driver is back', 30_000)
    return undefined
  },
}
