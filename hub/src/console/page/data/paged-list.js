/**
 * A list of the API, read a page after a page as it is scrolled, and refreshed in place. Only the newest request counts: an answer to
 * an older question is thrown away.
 *
 * @import { Page, PagedList } from '../types.d.ts'
 */
import { messageOf, wasAborted } from '../api.js'

/** @template Item */
export class PagedLoader {
  /** @type {{ cursor: string | undefined, items: Item[] }[]} */
  #pages = []
  /** @type {string | null} */
  #next = null
  #request = new AbortController()
  #busy = false
  #fetch
  #publish

  /**
   * @param {(cursor: string | undefined, signal: AbortSignal) => Promise<Page<Item>>} fetch
   * @param {(list: PagedList<Item>) => void} publish
   */
  constructor(fetch, publish) {
    this.#fetch = fetch
    this.#publish = publish
  }

  /** From the first page on. */
  async reload() {
    this.#request.abort()
    this.#pages = []
    this.#next = null
    this.#busy = false
    await this.#load(undefined, 'first')
  }

  /** The page after the last one, unless there is none or one is on its way. */
  async more() {
    if (this.#next !== null && !this.#busy) await this.#load(this.#next, 'more')
  }

  /**
   * The pages that hold these rows, once more; what was shown stays until then. A failure is left to the next time.
   * @param {number} firstRow
   * @param {number} lastRow
   */
  async refresh(firstRow, lastRow) {
    if (this.#busy) return
    const { signal } = this.#request
    let row = 0
    for (const page of this.#pages) {
      const [first, last] = [row, row + page.items.length]
      row = last
      const isLast = page === this.#pages.at(-1)
      if ((last <= firstRow && !isLast) || first > lastRow) continue
      const fresh = await this.#fetch(page.cursor, signal).catch(() => null)
      if (signal.aborted || fresh === null) return
      page.items = fresh.items
      if (isLast) this.#next = fresh.next
    }
    this.#show('no', null)
  }

  /**
   * @param {string | undefined} cursor
   * @param {'first' | 'more'} loading
   */
  async #load(cursor, loading) {
    const request = new AbortController()
    this.#request = request
    this.#busy = true
    this.#show(loading, null)
    try {
      const page = await this.#fetch(cursor, request.signal)
      if (request.signal.aborted) return
      this.#pages.push({ cursor, items: page.items })
      this.#next = page.next
      this.#busy = false
      this.#show('no', null)
    } catch (error) {
      if (request.signal.aborted || wasAborted(error)) return
      this.#busy = false
      this.#show('no', messageOf(error))
    }
  }

  /**
   * @param {PagedList<Item>['loading']} loading
   * @param {string | null} error
   */
  #show(loading, error) {
    this.#publish({ items: this.#pages.flatMap(page => page.items), next: this.#next, loading, error })
  }
}
