import { expect, test } from 'vitest'
import { parseStrace } from './strace-log.ts'

test('a call interrupted by another thread keeps the lines of its beginning and its end', () => {
  const calls = parseStrace(`12 read(20<socket:[99]>, "2\\16\\0\\3a/b{\\"x\\":1}", 65536) = 16
13 pwrite64(21</d/000001.db-wal>, "\\377\\n", 24, 0) = 24
13 fdatasync(21</d/000001.db-wal> <unfinished ...>
12 write(20<socket:[99]>, "@\\2\\0\\1", 4) = 4
13 <... fdatasync resumed>)          = 0`)
  expect(calls.map(c => [c.name, c.target, c.began, c.ended, c.result])).toEqual([
    ['read', 'socket:[99]', 0, 0, 16],
    ['pwrite64', '/d/000001.db-wal', 1, 1, 24],
    ['fdatasync', '/d/000001.db-wal', 2, 4, 0],
    ['write', 'socket:[99]', 3, 3, 4],
  ])
  expect(calls[0]!.data.toString()).toBe('2\x0e\0\x03a/b{"x":1}')
  expect([...calls[1]!.data]).toEqual([255, 10])
  expect([...calls[3]!.data]).toEqual([0x40, 2, 0, 1])
})
