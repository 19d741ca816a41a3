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
  private constructor(private database: Promise<IDBDatabase>) {}

  static async open(): Promise<DriverStore> {
    const database = open()
    await database
    return new DriverStore(database)
  }

  /** Carries out `work`. Safari drops the connections of pages in the background: over a new one it is tried once more. */
  private async on<T>(work: (database: IDBDatabase) => Promise<T>): Promise<T> {
    const used = this.database
    try {
      return await work(await used)
    } catch {
      // Of several that fail at once the first opens it anew for all.
      if (this.database === used) {
        used.then((database) => database.close()).catch(() => undefined)
        this.database = open()
      }
      return work(await this.database)
    }
  }

  /** The queue of one vehicle. */
  queue(owner: string): QueueStore {
    return {
      all: () => this.on(async (database) => {
        const entries = await done<Queued[]>(database.transaction('queue').objectStore('queue').getAll())
        return entries.filter((entry) => entry.owner === owner)
      }),
      put: (entry) => this.on(async (database) => {
        const transaction = database.transaction('queue', 'readwrite', { durability: 'strict' })
        const store = transaction.objectStore('queue')
        // The first attempt may have come through, though nobody heard of it.
        if ((await done(store.index('key').getKey(entry.key))) === undefined) store.add(entry)
        await committed(transaction)
      }),
      remove: (key) => this.on(async (database) => {
        const transaction = database.transaction('queue', 'readwrite')
        const store = transaction.objectStore('queue')
        const place = await done(store.index('key').getKey(key))
        if (place !== undefined) store.delete(place)
        await committed(transaction)
      }),
    }
  }

  keep(name: string, value: unknown): Promise<void> {
    return this.on((database) => {
      const transaction = database.transaction('kept', 'readwrite')
      transaction.objectStore('kept').put(value, name)
      return committed(transaction)
    })
  }

  kept<T>(name: string): Promise<T | undefined> {
    return this.on((database) => done<T | undefined>(database.transaction('kept').objectStore('kept').get(name)))
  }

  clear(name: string): Promise<void> {
    return this.on((database) => {
      const transaction = database.transaction('kept', 'readwrite')
      transaction.objectStore('kept').delete(name)
      return committed(transaction)
    })
  }
}
