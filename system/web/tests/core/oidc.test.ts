/** Sign-in at a provider: what is asked, and what is believed. */
import { describe, expect, it } from 'vitest'

import { authorizationUrl, base64url, codeOf, discovered, discoveryUrl, PENDING_MAX_MS, tokenOf, tokenRequest, type Pending } from '../../src/core/oidc'

const ISSUER = 'https://id.example.com/fleet'
const oidc = { issuer: ISSUER, client_id: 'drover', scope: 'openid' }
const pending: Pending = { state: 'S', nonce: 'N', verifier: 'V', next: '/', at: 1000 }
const NOW = 1_700_000_000_000
const part = (value: unknown): string => base64url(new TextEncoder().encode(JSON.stringify(value)))
const token = (claims: object): string => `${part({ alg: 'ES256' })}.${part(claims)}.c2ln`
const good = { iss: ISSUER, aud: 'drover', nonce: 'N', exp: NOW / 1000 + 60, name: 'Žofia' }

describe('what is asked', () => {
  it('is a code, by PKCE, and never with a secret', () => {
    const url = new URL(authorizationUrl(`${ISSUER}/authorize?kept=1`, oidc, 'https://map/sign-in', pending, 'C'))
    expect(Object.fromEntries(url.searchParams)).toEqual({
      kept: '1', response_type: 'code', client_id: 'drover', redirect_uri: 'https://map/sign-in', scope: 'openid', state: 'S', nonce: 'N', code_challenge: 'C', code_challenge_method: 'S256',
    })
    expect([...tokenRequest(oidc, 'X', 'https://map/sign-in', 'V').keys()]).toEqual(['grant_type', 'code', 'redirect_uri', 'client_id', 'code_verifier'])
    expect(discoveryUrl(`${ISSUER}/`)).toBe(`${ISSUER}/.well-known/openid-configuration`)
    expect(base64url(new Uint8Array([251, 255, 0]))).toBe('-_8A')
  })
})

describe('what is believed', () => {
  it('is a document of that provider', () => {
    const document = { issuer: ISSUER, authorization_endpoint: 'a', token_endpoint: 't' }
    expect(discovered(document, ISSUER)).toEqual({ authorization_endpoint: 'a', token_endpoint: 't' })
    for (const wrong of [null, { ...document, issuer: 'x' }, { issuer: ISSUER }, { ...document, code_challenge_methods_supported: ['plain'] }]) expect(() => discovered(wrong, ISSUER)).toThrow()
  })

  it('is an answer to what was asked, in time', () => {
    const code = (text: string, of: Pending | null = pending, now = 2000): string | null => codeOf(new URLSearchParams(text), of, ISSUER, now)
    expect(code('why=expired')).toBeNull()
    expect(code('code=X&state=S')).toBe('X')
    expect(code(`code=X&state=S&iss=${encodeURIComponent(ISSUER)}`)).toBe('X')
    expect(() => code('code=X&state=T')).toThrow()
    expect(() => code('code=X&state=S', null)).toThrow()
    expect(() => code('code=X&state=S', pending, 1000 + PENDING_MAX_MS + 1)).toThrow()
    expect(() => code('code=X&state=S&iss=https%3A%2F%2Fother')).toThrow(/RFC 9207/)
    expect(() => code('error=access_denied&state=S')).toThrow('access_denied')
  })

  it('is a token for us, of now, of that provider', () => {
    const id = token(good)
    expect(tokenOf({ id_token: id, access_token: 'a.b.c' }, oidc, 'N', NOW)).toBe('a.b.c')
    expect(tokenOf({ id_token: id, access_token: 'opaque' }, oidc, 'N', NOW)).toBe(id)
    expect(tokenOf({ id_token: token({ ...good, aud: ['x', 'drover'] }) }, oidc, 'N', NOW)).toContain('.')
    for (const wrong of [{ iss: 'x' }, { aud: 'x' }, { aud: undefined }, { nonce: 'M' }, { exp: NOW / 1000 - 61 }, { exp: 'soon' }]) {
      expect(() => tokenOf({ id_token: token({ ...good, ...wrong }) }, oidc, 'N', NOW)).toThrow()
    }
    expect(() => tokenOf({ access_token: 'a.b.c' }, oidc, 'N', NOW)).toThrow(/id_token/)
    expect(() => tokenOf({ id_token: 'x' }, oidc, 'N', NOW)).toThrow()
  })
})
