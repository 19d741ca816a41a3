/** The token of this browser, and the way to the page that asks for one. */
const TOKEN = 'drover.token'

export function storedToken(): string | null {
  try {
    return localStorage.getItem(TOKEN)
  } catch {
    return null
  }
}

export function storeToken(token: string | null): void {
  if (token === null) localStorage.removeItem(TOKEN)
  else localStorage.setItem(TOKEN, token)
}

/** By what a page knows whether something was kept under the same token; null where the browser can not say (no secure context). */
export async function tokenMark(token: string): Promise<string | null> {
  // Absent without a secure context.
  const subtle = crypto.subtle as SubtleCrypto | undefined
  if (!subtle) return null
  const digest = new Uint8Array(await subtle.digest('SHA-256', new TextEncoder().encode(token)))
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Leaves for the sign-in page, which comes back here. */
export function toSignIn(why: 'none' | 'expired' | 'out'): void {
  storeToken(null)
  const next = location.pathname === '/' ? '' : `&next=${encodeURIComponent(location.pathname)}`
  location.assign(`/sign-in?why=${why}${next}`)
}

/** The pages that a sign-in may lead to; nothing else is followed. */
export function safeNext(next: string | null, role: string): string {
  if (next === '/' || next === '/driver') return next
  return role === 'driver' ? '/driver' : '/'
}
