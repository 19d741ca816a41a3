/** What outlives the driver's page, in IndexedDB: the queue of things to be said, and what was last known. */
import type { Queued, QueueStore } from '../core/queue'

const NAME = 'drover-driver'
const VERSION = 1

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION)
    request.onupgradeneeded = () => {
      // Numbered as they come: the order of the queue.
      request.result.createObjectStore('queue', { autoIncrement: true }).createIndex('key', 'key', { unique: true })
      request.result.createObjectStore('kept')
    }
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('IndexedDB'))
  })
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('IndexedDB'))
  })
}

/** Resolves when the transaction is on disk. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB'))
  })
}

export class DriverStore {
  private constructor(private readonly database: IDBDatabase) {}

  static async open(): Promise<DriverStore> {
    return new DriverStore(await open())
  }

  /** The queue of one vehicle. */
  queue(owner: string): QueueStore {
    const { database } = this
    return {
      async all() {
        const entries = await done<Queued[]>(database.transaction('queue').objectStore('queue').getAll())
        return entries.filter((entry) => entry.owner === owner)
      },
      async put(entry) {
        const transaction = database.transaction('queue', 'readwrite', { durability: 'strict' })
        transaction.objectStore('queue').add(entry)
        await committed(transaction)
      },
      async remove(key) {
        const transaction = database.transaction('queue', 'readwrite')
        const store = transaction.objectStore('queue')
        const place = await done(store.index('key').getKey(key))
        if (place !== undefined) store.delete(place)
        await committed(transaction)
      },
    }
  }

  async keep(name: string, value: unknown): Promise<void> {
    const transaction = this.database.transaction('kept', 'readwrite')
    transaction.objectStore('kept').put(value, name)
    await committed(transaction)
  }

  async kept<T>(name: string): Promise<T | undefined> {
    return done<T | undefined>(this.database.transaction('kept').objectStore('kept').get(name))
  }

  async clear(name: string): Promise<void> {
    const transaction = this.database.transaction('kept', 'readwrite')
    transaction.objectStore('kept').delete(name)
    await committed(transaction)
  }
}
