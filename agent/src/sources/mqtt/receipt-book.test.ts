import { describe, expect, it } from 'vitest'
import { type HeldReceipt, judge, ReceiptBook } from './receipt-book.ts'

const held = (state: HeldReceipt['state']): HeldReceipt => ({ digest: 'd', state, waiting: null })

describe('judge', () => {
  it('decides by identifier, digest, DUP and what is known of the acknowledgement', () => {
    expect(judge(undefined, 1, true, 'd', false)).toBe('new')
    expect(judge(held('stored'), 1, true, 'other', false)).toBe('new')
    const table = (['pending', 'stored', 'acknowledged'] as const).map(state =>
      [1, 2].map(qos =>
        [true, false].map(dup =>
          [true, false].map(identified => judge(held(state), qos as 1 | 2, dup, 'd', identified)),
        ),
      ),
    )
    const maybe = 'maybe-duplicate'
    expect(table).toEqual([
      [
        [
          ['pending', 'pending'],
          [maybe, maybe],
        ],
        [
          ['pending', 'pending'],
          [maybe, maybe],
        ],
      ],
      [
        [
          ['duplicate', 'duplicate'],
          [maybe, maybe],
        ],
        [
          ['duplicate', 'duplicate'],
          [maybe, maybe],
        ],
      ],
      [
        [
          ['duplicate', maybe],
          ['new', 'new'],
        ],
        [
          ['duplicate', 'duplicate'],
          [maybe, maybe],
        ],
      ],
    ])
  })
})

describe('ReceiptBook', () => {
  it('restores what the buffer kept, as stored and not known to be acknowledged', () => {
    const book = new ReceiptBook(100, [{ scope: 'mqtt1:c', id: 5, digest: 'd' }])
    expect(book.scope('mqtt1:c').get(5)).toMatchObject({ digest: 'd', state: 'stored' })
    expect(book.scope('mqtt2:c').get(5)).toBeUndefined()
  })

  const put = (book: ReceiptBook, name: string, from: number, to: number) => {
    for (let id = from; id <= to; id++) book.scope(name).put(id, held('stored'))
  }
  const kept = (book: ReceiptBook, name: string) => book.scope(name).size

  it('a scope uses what the others leave, and then forgets its own oldest, never those of another', () => {
    const book = new ReceiptBook(64, [])
    put(book, 'quiet', 1, 1)
    put(book, 'busy', 1, 100)
    expect([kept(book, 'quiet'), kept(book, 'busy')]).toEqual([1, 63])
    const busy = book.scope('busy')
    expect([busy.get(37), busy.get(38), busy.get(100)].map(receipt => receipt !== undefined)).toEqual([
      false,
      true,
      true,
    ])
  })

  it('no room: the scope with the most gives, until all have an even share', () => {
    const book = new ReceiptBook(60, [])
    put(book, 'a', 1, 100)
    put(book, 'b', 1, 10)
    expect([kept(book, 'a'), kept(book, 'b')]).toEqual([50, 10])
    put(book, 'c', 1, 100)
    expect([kept(book, 'a'), kept(book, 'b'), kept(book, 'c')]).toEqual([25, 10, 25])
    put(book, 'b', 11, 100)
    expect([kept(book, 'a'), kept(book, 'b'), kept(book, 'c')]).toEqual([20, 20, 20])
  })

  it('an identifier that comes again, or is removed, makes room', () => {
    const book = new ReceiptBook(64, [])
    for (let n = 0; n < 1000; n++) put(book, 'a', 1, 2)
    const receipt = held('pending')
    book.scope('b').put(1, receipt)
    book.scope('b').remove(1, receipt)
    put(book, 'c', 1, 62)
    expect([kept(book, 'a'), kept(book, 'b'), kept(book, 'c')]).toEqual([2, 0, 62])
  })

  it('forgets the scopes not heard for longest when there are too many', () => {
    const book = new ReceiptBook(64, [])
    for (const name of ['a', 'b', 'c', 'd']) book.scope(name).put(1, held('stored'))
    book.scope('a')
    book.scope('e')
    expect(book.scope('a').get(1)).toBeDefined()
    expect(book.scope('b').get(1)).toBeUndefined()
  })

  it('a release does not touch the message that took the identifier meanwhile', () => {
    const scope = new ReceiptBook(64, []).scope('a')
    const [first, second] = [held('stored'), held('pending')]
    scope.put(1, first)
    scope.put(1, second)
    scope.remove(1, first)
    expect(scope.get(1)).toBe(second)
    scope.remove(1, second)
    expect(scope.get(1)).toBeUndefined()
  })
})
