import { describe, expect, it } from 'vitest'

import { Home } from '../../src/core/home'

describe('home', () => {
  it('is where the page comes from unless there is one', () => {
    const home = new Home()
    expect(home.next()).toBeNull()
    home.missed(null)
    expect(home.next()).toBeNull()
    // What failed before it was known says nothing of it.
    home.set('https://hub-3.example.com')
    home.missed(null)
    expect(home.next()).toBe('https://hub-3.example.com')
  })

  it('is tried first, and after a failure by turns with where the page comes from', () => {
    const home = new Home()
    home.set('https://hub-3.example.com')
    const tried = [0, 1, 2, 3].map(() => {
      const next = home.next()
      home.missed(next)
      return next
    })
    expect(tried).toEqual(['https://hub-3.example.com', null, 'https://hub-3.example.com', null])
  })

  it('is tried again once it has moved', () => {
    const home = new Home()
    home.set('https://hub-3.example.com')
    home.missed('https://hub-3.example.com')
    expect(home.next()).toBeNull()
    home.set('https://hub-3.example.com')
    expect(home.next()).toBeNull()
    home.set('https://hub-4.example.com')
    expect(home.next()).toBe('https://hub-4.example.com')
  })
})
