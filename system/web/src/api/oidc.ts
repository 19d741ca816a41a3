/** To the identity provider and back: randomness, hashes, requests, and what is remembered meanwhile. The rest is `core/oidc.ts`. */
import { authorizationUrl, base64url, codeOf, discovered, discoveryUrl, tokenOf, tokenRequest, type Discovery, type Oidc, type Pending } from '../core/oidc'

const PENDING = 'drover.oidc'
const TIMEOUT_MS = 15_000

function redirectUri(): string {
  return `${location.origin}/sign-in`
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)))
}

async function ask(url: string, init: RequestInit = {}): Promise<unknown> {
  const answer = await fetch(url, { ...init, credentials: 'omit', cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS) })
  const body = (await answer.json().catch(() => null)) as Record<string, unknown> | null
  if (!answer.ok) throw new Error(String(body?.['error_description'] ?? body?.['error'] ?? `HTTP ${answer.status}`))
  return body
}

async function provider(oidc: Oidc): Promise<Discovery> {
  return discovered(await ask(discoveryUrl(oidc.issuer)), oidc.issuer)
}

/** Leaves for the provider. */
export async function leave(oidc: Oidc, next: string | null): Promise<void> {
  const { authorization_endpoint } = await provider(oidc)
  const pending: Pending = { state: random(), nonce: random(), verifier: random(), next, at: Date.now() }
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(pending.verifier))
  sessionStorage.setItem(PENDING, JSON.stringify(pending))
  location.assign(authorizationUrl(authorization_endpoint, oidc, redirectUri(), pending, base64url(new Uint8Array(digest))))
}

/** The token of whoever comes back, and where they wanted to go; null if nobody does. Each answer is taken once. */
export async function comeBack(oidc: Oidc, query: URLSearchParams): Promise<{ token: string; next: string | null } | null> {
  const kept = sessionStorage.getItem(PENDING)
  const pending = kept === null ? null : (JSON.parse(kept) as Pending)
  const code = codeOf(query, pending, oidc.issuer, Date.now())
  if (code === null || pending === null) return null
  sessionStorage.removeItem(PENDING)
  const { token_endpoint } = await provider(oidc)
  const answer = await ask(token_endpoint, { method: 'POST', body: tokenRequest(oidc, code, redirectUri(), pending.verifier) })
  return { token: tokenOf(answer, oidc, pending.nonce, Date.now()), next: pending.next }
}
