import { expect, test } from 'vitest'
import { decodeReceipts, encodeReceipts, ReceiptBook, receiptColumns } from './receipts.ts'

const digest = 'ab'.repeat(8)
const receipts = (scope: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => ({ scope, id: from + i, digest }))

function put(book: ReceiptBook, scope: string, from: number, to: number): void {
  for (const receipt of receipts(scope, from, to)) book.apply(receiptColumns([receipt]), [])
}

function kept(book: ReceiptBook): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { scope } of book.list()) counts[scope] = (counts[scope] ?? 0) + 1
  return counts
}

test('a scope uses what the others leave, and keeps its newest', () => {
  const book = new ReceiptBook(1000)
  for (let n = 0; n < 50; n++) put(book, `quiet${n}`, 1, 2)
  put(book, 'busy', 1, 5000)
  const { busy, ...quiet } = kept(book)
  expect(busy).toBe(900)
  expect(Object.values(quiet)).toEqual(Array(50).fill(2))
  expect(book.list().findLast(({ scope }) => scope === 'busy')).toMatchObject({ id: 5000 })
})

test('no room: the largest scopes give, until all have an even share', () => {
  const book = new ReceiptBook(600)
  put(book, 'a', 1, 2000)
  put(book, 'b', 1, 100)
  expect(kept(book)).toEqual({ a: 500, b: 100 })
  put(book, 'c', 1, 2000)
  expect(kept(book)).toEqual({ a: 250, b: 100, c: 250 })
  put(book, 'b', 101, 2000)
  expect(kept(book)).toEqual({ a: 200, b: 200, c: 200 })
})

test('what is listed never exceeds the bound, whoever sent how much', () => {
  const book = new ReceiptBook(64)
  for (let n = 0; n < 20; n++) {
    put(book, `client${n % 5}`, n * 100, n * 100 + 7 * n)
    expect(book.list().length).toBeLessThanOrEqual(64)
  }
})

test('a serial line keeps its whole window, and no more, beside a thousand senders', () => {
  const book = new ReceiptBook(20_000)
  put(book, 'serial:press', 1, 64)
  for (let n = 0; n < 1000; n++) put(book, `mqtt1:client${n}`, 1, 40)
  put(book, 'mqtt1:busy', 1, 5000)
  expect(kept(book)['serial:press']).toBe(64)
  put(book, 'serial:press', 65, 1000)
  const lines = book.list().filter(({ scope }) => scope === 'serial:press')
  expect(lines.map(({ id }) => id)).toEqual(Array.from({ length: 64 }, (_, i) => 937 + i))
  expect(book.has('serial:press', 1000)).toBe(true)
  expect(book.list().length).toBeLessThanOrEqual(20_000 + 64)
})

test('where one receipt in all is shared, a serial line still has its own', () => {
  const book = new ReceiptBook(1)
  put(book, 'serial:a', 1, 70)
  put(book, 'mqtt1:b', 1, 70)
  put(book, 'mqtt1:c', 1, 70)
  expect(kept(book)).toEqual({ 'serial:a': 64, 'mqtt1:c': 1 })
})

test('lines of no line that is there any more do not add up without end', () => {
  const book = new ReceiptBook(100)
  for (let n = 0; n <= 256; n++) put(book, `serial:${n}`, 1, 1)
  expect(book.has('serial:0', 1)).toBe(false)
  expect(book.has('serial:1', 1)).toBe(true)
})

test('released receipts and earlier ones of an identifier are not kept', () => {
  const book = new ReceiptBook(64)
  put(book, 'a', 1, 3)
  put(book, 'a', 2, 2)
  book.apply(receiptColumns([]), [{ scope: 'a', id: 1 }])
  expect(book.list().map(({ id }) => id)).toEqual([3, 2])
})

test('receipts and releases survive their column', () => {
  const given = [...receipts('mqtt1:a', 1, 3), ...receipts('mqtt2:ü', 65_535, 65_535)]
  const bytes = encodeReceipts(receiptColumns(given), [{ scope: 'mqtt2:b', id: 9 }])!
  const { columns, releases } = decodeReceipts(bytes)
  const book = new ReceiptBook(100)
  book.apply(columns, [])
  expect(book.list()).toEqual(given)
  expect(releases).toEqual([{ scope: 'mqtt2:b', id: 9 }])
})
