import { expect, test } from 'vitest'
import { fitted } from './status-line.ts'

test('the line is wide where there is room, close where there is not, and loses its last fields before it wraps', () => {
  const fields = ['0:12', 'sent 33635', 'acked 33635']
  expect(fitted(fields, 29)).toBe('0:12  sent 33635  acked 33635')
  expect(fitted(fields, 28)).toBe('0:12 sent 33635 acked 33635')
  expect(fitted(fields, 26)).toBe('0:12  sent 33635')
  expect(fitted(fields, 1)).toBe('0:12')
})
