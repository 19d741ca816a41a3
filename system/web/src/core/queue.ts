/**
 * What a driver does without a link is kept and said later: in order, with the time at which it was done, and each under a key
 * of its own, so that a repeat is carried out once. Holds no clock and no network: the store and the sender are given to it.
 */
export interface Queued {
  /** Idempotency-Key: a UUID, made when the driver tapped. */
  key: string
  /** When it was done, RFC 3339; sent in the header `Happened-At`. */
  at: string
  path: string
  body: Record<string, unknown>
  /** What it is about, for the page: a stop's or a message's id. */
  subject: string
  attempts: number
  /** Who did it: a vehicle. Another driver on the same phone does not send it. */
  owner: string
  /** What the page does of itself (a receipt, an order that follows its stops): a refusal is no news for the driver. */
  quiet?: boolean
}

/** Where the queue outlives the page. Entries come back in the order in which they were added. */
export interface QueueStore {
  all(): Promise<Queued[]>
  put(entry: Queued): Promise<void>
  remove(key: string): Promise<void>
}

/** What became of one attempt. */
export type Sent =
  | { outcome: 'done' }
  /** Refused for good (4xx but for those below): repeating would not help. */
  | { outcome: 'refused'; detail: string }
  /** No link, a busy server or an expired sign-in: later again. */
  | { outcome: 'later'; detail: string }

export type Sender = (entry: Queued) => Promise<Sent>

/** Most entries kept: a driver taps a few hundred times a day. */
export const QUEUE_MAX = 2_000

export interface QueueView { waiting: Queued[]; refused: { entry: Queued; detail: string }[]; sending: boolean; trouble: string | null }

export class OfflineQueue {
  private waiting: Queued[] = []
  private refused: { entry: Queued; detail: string }[] = []
  private sending: Promise<void> | null = null
  private trouble: string | null = null

  constructor(
    private readonly store: QueueStore, private readonly send: Sender, private readonly changed: (view: QueueView) => void,
  ) {}

  /** Reads what an earlier page left behind. Where that can not be read, it stays for a later page. */
  async load(): Promise<void> {
    try {
      this.waiting = await this.store.all()
    } catch (error) {
      this.trouble = String(error)
    }
    this.tell()
  }

  /**
   * Keeps the entry, then tries to send everything. Resolves when it is kept, not when it is sent. What can not be kept is sent all
   * the same, while the page lives.
   */
  async add(entry: Queued): Promise<void> {
    if (this.waiting.length >= QUEUE_MAX) throw new Error(`${QUEUE_MAX} entries wait already: nothing more is kept`)
    try {
      await this.store.put(entry)
    } catch (error) {
      this.trouble = String(error)
    }
    this.waiting.push(entry)
    this.tell()
    void this.flush()
  }

  /** Sends what waits, oldest first, until all is said or one has to wait. Never two at a time. */
  flush(): Promise<void> {
    this.sending ??= this.run().finally(() => {
      this.sending = null
      this.tell()
    })
    return this.sending
  }

  dismiss(key: string): void {
    this.refused = this.refused.filter(({ entry }) => entry.key !== key)
    this.tell()
  }

  private async run(): Promise<void> {
    for (let entry = this.waiting[0]; entry !== undefined; entry = this.waiting[0]) {
      entry.attempts++
      const sent = await this.send(entry)
      if (sent.outcome === 'later') {
        this.trouble = sent.detail
        return
      }
      this.trouble = null
      if (sent.outcome === 'refused' && !entry.quiet) this.refused.push({ entry, detail: sent.detail })
      // One that stays in the store is sent again by a later page: under its key that does no harm.
      await this.store.remove(entry.key).catch(() => undefined)
      this.waiting.shift()
      this.tell()
    }
  }

  private tell(): void {
    this.changed({
      waiting: [...this.waiting], refused: [...this.refused], sending: this.sending !== null, trouble: this.trouble,
    })
  }
}

/** How an HTTP answer counts. 409 with the wished state means that it was done already. */
export function judge(status: number, wished: string | undefined, problem: { state?: string; detail?: string; title?: string }): Sent {
  const detail = problem.detail ?? problem.title ?? `HTTP ${status}`
  if (status >= 200 && status < 300) return { outcome: 'done' }
  if (status === 409 && wished !== undefined && problem.state === wished) return { outcome: 'done' }
  if (status === 0 || status === 401 || status === 408 || status === 425 || status === 429 || status >= 500) {
    return { outcome: 'later', detail }
  }
  return { outcome: 'refused', detail }
}
