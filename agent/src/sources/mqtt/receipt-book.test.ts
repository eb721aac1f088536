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

  it('a scope forgets its own oldest, never those of another', () => {
    const book = new ReceiptBook(64, [])
    const [quiet, busy] = [book.scope('quiet'), book.scope('busy')]
    quiet.put(1, held('stored'))
    for (let id = 1; id <= 100; id++) busy.put(id, held('stored'))
    expect(quiet.get(1)).toBeDefined()
    expect([busy.get(68), busy.get(69), busy.get(100)].map(receipt => receipt !== undefined)).toEqual([
      false,
      true,
      true,
    ])
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
