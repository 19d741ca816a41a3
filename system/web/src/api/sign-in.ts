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
