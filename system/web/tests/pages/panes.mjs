/** Trips, totals and areas: what was, and who was where. */
import { check, until } from './world.mjs'

async function someTrip(page) {
  // Whoever has driven for a while has a trip; of the vehicles there, most have.
  for (const id of (await page.evaluate(() => window.drover.ids())).slice(0, 8)) {
    await page.evaluate((each) => window.drover.select(each), id)
    await page.click('.panel >> text=Trips')
    await page.waitForSelector('.days')
    await until(async () => (await page.locator('.trip').count()) > 0 || (await page.locator('text=No trip on this day').count()) > 0, 'an answer')
    if (await page.locator('.trip').count()) return id
    await page.keyboard.press('Escape')
  }
  return null
}

export const tests = {
  async 'an area can be drawn where an order was being written'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    await page.keyboard.press('n')
    await page.waitForSelector('.map.placing')
    await page.click('nav.tabs .tab:has-text("Areas")')
    await page.click('text=New area')
    await page.waitForSelector('.panel', { state: 'detached' })
    await page.waitForTimeout(200)
    check((await page.locator('.map.placing').count()) === 1, 'a click on the map is a corner')
  },

  async 'trips of a day are listed, with totals, and a click draws one on the map'({ open }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    const id = await until(() => someTrip(page), 'a vehicle with a trip', 60_000)
    check((await page.locator('.panel h2').innerText()).includes(id), 'whose trips they are')
    await page.waitForSelector('.totals')
    const totals = await page.locator('.totals').innerText()
    check(/Distance\s+[\d.,]+ km/.test(totals) && /Driving/.test(totals) && /Idling/.test(totals) && /Fuel/.test(totals), totals)
    await page.locator('.trip').first().click()
    await page.waitForSelector('.trip[aria-current]')
    await page.waitForSelector('.panel .strip')
    await page.click('.panel button[aria-label="Back"]')
    await page.waitForSelector('.panel .facts')
  },

  async 'an area is drawn, has visits, is changed in place and removed'({ open, world }) {
    const { page } = await open('/', 'dispatcher')
    await page.waitForSelector('.maplibregl-canvas')
    const name = `Depot ${Date.now() % 100_000}`
    await page.keyboard.press('g')
    await page.click('text=New area')
    await page.fill('.side input', name)
    check(await page.locator('.side button:has-text("Save")').isDisabled(), 'without corners nothing is saved')
    const box = await page.locator('.map').boundingBox()
    for (const [x, y] of [[0.15, 0.15], [0.75, 0.15], [0.75, 0.7], [0.15, 0.7]]) await page.mouse.click(box.x + box.width * x, box.y + box.height * y)
    await until(async () => (await page.locator('.side .draft').count()) === 4, 'four corners')
    await page.click('.side button:has-text("Save")')
    await page.waitForSelector(`.side h2:has-text("${name}")`)
    await until(async () => (await page.locator('.side .stop-row').count()) > 0, 'somebody was there', 30_000)
    const known = async () => (await world.api('dispatcher', 'GET', '/geofences')).items.filter((area) => area.properties.name.startsWith(name))
    const [before] = await known()
    await page.click('text=Change area')
    await page.fill('.side input', `${name} B`)
    await page.locator('.side button[aria-label="Remove corner 4"]').click()
    await page.click('.side button:has-text("Save")')
    await page.waitForSelector(`.side h2:has-text("${name} B")`)
    const after = await known()
    check(after.length === 1 && after[0].id === before.id && after[0].properties.name === `${name} B`, 'it is the same area, with another name')
    check(after[0].geometry.coordinates[0].length === before.geometry.coordinates[0].length - 1, 'and another ring')
    await page.click('.side >> text=Remove')
    await page.click('text=Remove for good')
    await page.waitForSelector('.side button:has-text("New area")')
    check((await page.locator(`.side >> text=${name}`).count()) === 0, 'it is gone')
  },

  async 'a viewer sees areas, is offered no pencil, and is told why there are no visits'({ open, world }) {
    const name = `Yard ${Date.now() % 100_000}`
    const [w, s] = (await world.config()).center
    const ring = [[w, s], [w + 0.01, s], [w + 0.01, s + 0.01], [w, s]]
    const made = await world.api('dispatcher', 'POST', '/geofences', { type: 'Feature', properties: { name }, geometry: { type: 'Polygon', coordinates: [ring] } })
    const { page } = await open('/', 'viewer')
    await page.keyboard.press('g')
    await page.click(`.side >> text=${name}`)
    check((await page.locator('text=Change area').count()) === 0, 'no pencil')
    await until(async () => /can not be shown|Nobody was here|VAN/.test(await page.locator('.side').innerText()), 'visits, or why there are none')
    await world.api('dispatcher', 'DELETE', `/geofences/${made.id}`)
  },
}
