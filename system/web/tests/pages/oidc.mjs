/** Sign-in at an identity provider: authorization code with PKCE, and what is not believed. */
import { Provider } from '../provider.mjs'
import { check, until } from './world.mjs'

async function withProvider({ open, world }, act) {
  if (!world.server) return 'a server of others has no provider of ours'
  const provider = await new Provider('drover-pages').start()
  const town = world.server.world
  town.provider = provider
  try {
    const opened = await open('/sign-in?next=%2F', null)
    await opened.page.waitForSelector('button:has-text("Sign in at")')
    await act(opened, provider)
    // To ask the provider is what this is about.
    const strange = opened.faults.filter((fault) => !fault.includes(new URL(provider.issuer).origin))
    opened.faults.splice(0, Infinity, ...strange)
  } finally {
    town.provider = null
    await provider.stop()
  }
  return undefined
}

const signIn = (page) => page.click('button:has-text("Sign in at")')

export const tests = {
  async 'a dispatcher signs in at a provider, by code and PKCE, and no secret or code stays behind'(each) {
    return withProvider(each, async ({ page }, provider) => {
      await signIn(page)
      await page.waitForFunction(() => (window.drover?.vehicles().known ?? 0) > 0, null, { timeout: 20_000 })
      check(new URL(page.url()).pathname === '/' && !page.url().includes('code='), page.url())
      const [form] = provider.asked
      check(form.get('grant_type') === 'authorization_code' && form.get('code_verifier').length >= 43 && !form.has('client_secret'), String(form))
      check((await page.evaluate(() => sessionStorage.getItem('drover.oidc'))) === null, 'the verifier is forgotten')
      await page.goBack()
      check(!page.url().includes('code='), 'the code is not in the history')
    })
  },

  async 'an answer that was not asked for, or of another, signs nobody in'(each) {
    return withProvider(each, async ({ page }, provider) => {
      for (const [wrong, words] of [['denied', 'changed her mind'], ['state', 'not to what was asked'], ['nonce', 'not to what was asked']]) {
        provider.wrong = wrong
        await signIn(page)
        await until(async () => (await page.locator('.problem').count()) > 0 && (await page.locator('.problem').innerText()).includes(words), `${wrong} is said`)
        check((await page.evaluate(() => localStorage.getItem('drover.token'))) === null, `${wrong}: nobody is signed in`)
        await page.goto('/sign-in')
        await page.waitForSelector('button:has-text("Sign in at")')
      }
      provider.wrong = null
      await page.goto('/sign-in?code=stolen&state=guessed')
      await until(async () => (await page.locator('.problem').count()) > 0, 'a code that nobody asked for is refused')
      check(provider.asked.every((form) => form.get('code') !== 'stolen'), 'and not shown to the provider')
    })
  },
}
