/**
 * Sign-in by an identity provider: OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636), for a public client. Pure: what
 * is asked, and what is believed of the answers.
 */
export interface Oidc { issuer: string; client_id: string; scope: string }

/** What is needed of a discovery document (OpenID Connect Discovery 1.0). */
export interface Discovery { authorization_endpoint: string; token_endpoint: string }

/** What this browser remembers between leaving for the provider and coming back. */
export interface Pending { state: string; nonce: string; verifier: string; next: string | null; at: number }

/** Whoever takes longer at the provider begins anew. */
export const PENDING_MAX_MS = 15 * 60_000
const LEEWAY_S = 60

export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

export function discoveryUrl(issuer: string): string {
  return `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
}

/** The endpoints of the provider; throws what is wrong with the document. */
export function discovered(document: unknown, issuer: string): Discovery {
  const { issuer: says, authorization_endpoint, token_endpoint, code_challenge_methods_supported: methods } = (document ?? {}) as Record<string, unknown>
  if (says !== issuer) throw new Error(`the provider says that it is ${String(says)}, not ${issuer}`)
  if (typeof authorization_endpoint !== 'string' || typeof token_endpoint !== 'string') throw new Error('the provider names no endpoints')
  if (Array.isArray(methods) && !methods.includes('S256')) throw new Error('the provider knows no PKCE with S256')
  return { authorization_endpoint, token_endpoint }
}

/** Where the browser goes. `challenge` is SHA-256 of the verifier. */
export function authorizationUrl(endpoint: string, oidc: Oidc, redirectUri: string, pending: Pending, challenge: string): string {
  const url = new URL(endpoint)
  const wanted = {
    response_type: 'code', client_id: oidc.client_id, redirect_uri: redirectUri, scope: oidc.scope, state: pending.state, nonce: pending.nonce,
    code_challenge: challenge, code_challenge_method: 'S256',
  }
  for (const [name, value] of Object.entries(wanted)) url.searchParams.set(name, value)
  return url.href
}

/** The code that the provider sends back; throws why there is none. Null if this is no way back from a provider. */
export function codeOf(query: URLSearchParams, pending: Pending | null, issuer: string, now: number): string | null {
  if (!query.has('state') || !(query.has('code') || query.has('error'))) return null
  // Somebody else's answer must not sign this browser in.
  if (pending === null || query.get('state') !== pending.state || now - pending.at > PENDING_MAX_MS) throw new Error('this answer is not to what was asked here')
  if (query.has('iss') && query.get('iss') !== issuer) throw new Error('this answer is another provider’s (RFC 9207)')
  if (query.has('error')) throw new Error(query.get('error_description') ?? query.get('error')!)
  return query.get('code')
}

/** Form fields of the request for tokens. No secret: the verifier proves who asked for the code. */
export function tokenRequest(oidc: Oidc, code: string, redirectUri: string, verifier: string): URLSearchParams {
  return new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: redirectUri, client_id: oidc.client_id, code_verifier: verifier })
}

/** The token to show the server; throws if the answer is not to what was asked. The server checks its signature. */
export function tokenOf(answer: unknown, oidc: Oidc, nonce: string, nowMs: number): string {
  const { access_token: access, id_token: id } = (answer ?? {}) as Record<string, unknown>
  if (typeof id !== 'string') throw new Error('the provider gives no id_token: is openid in the scope?')
  const claims = claimsOf(id)
  if (claims['iss'] !== oidc.issuer) throw new Error('the token is another provider’s')
  const audience = claims['aud']
  if (audience !== oidc.client_id && !(Array.isArray(audience) && audience.includes(oidc.client_id))) throw new Error('the token is for others')
  if (claims['nonce'] !== nonce) throw new Error('the token is not to what was asked here')
  if (typeof claims['exp'] !== 'number' || claims['exp'] + LEEWAY_S < nowMs / 1000) throw new Error('the token is over')
  // Providers whose access tokens are texts that only they can read sign the other one for us.
  return typeof access === 'string' && access.split('.').length === 3 ? access : id
}

function claimsOf(token: string): Record<string, unknown> {
  const parts = token.split('.')
  if (parts.length !== 3) throw new Error('the id_token is no JWT')
  const text = atob(parts[1]!.replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (letter) => letter.charCodeAt(0)))) as Record<string, unknown>
}
