/** Where a session goes: to the vehicle's home, and after a failure there to whoever served the page, by turns. */
export class Home {
  private origin: string | null = null
  private failed = false

  set(origin: string | null): void {
    if (origin !== this.origin) this.failed = false
    this.origin = origin
  }

  /** Origin of the next attempt; null is that of the page. */
  next(): string | null {
    return this.failed ? null : this.origin
  }

  /** It led to a session: after that, the same place is as good as before. */
  opened(): void {
    this.failed = false
  }

  /** The attempt that went `there` brought nobody who answered. */
  missed(there: string | null): void {
    this.failed = there !== null && there === this.origin
  }
}
