/** Idempotency-Keys of what people write: an answer that was lost is asked for again, and nothing is made twice. */
import { judge } from './queue'

export class DraftKey {
  private key: string | null = null
  private content = ''

  /** `make` gives a new key: a UUID. */
  constructor(private readonly make: () => string) {}

  /** Carries out `work` for `content`, under the key of an earlier attempt with the same content of which nobody knows what became. */
  async use<T>(content: unknown, work: (key: string) => Promise<T>): Promise<T> {
    const text = JSON.stringify(content)
    if (this.key === null || text !== this.content) this.key = this.make()
    this.content = text
    const mine = this.key
    try {
      const made = await work(mine)
      this.forget(mine)
      return made
    } catch (error) {
      const { status } = error as { status?: number }
      // A refusal is an answer: the server would give it to the same key for ever.
      if (status !== undefined && judge(status, undefined, {}).outcome === 'refused') this.forget(mine)
      throw error
    }
  }

  private forget(key: string): void {
    if (this.key === key) this.key = null
  }
}
