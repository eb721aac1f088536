import { expect, test } from 'vitest'
import { formatRoute, home, maxCharted, parseRoute, spanOf } from './router.js'

test.each([
  '#/',
  '#/series',
  '#/series?q=press',
  '#/series?ids=1,2&range=24h',
  '#/series?ids=7&from=1700000000000&to=1700003600000&live=0&anomaly=f9b7a222-5ea8-5f6d-a47a-8358ae4c3e95',
  '#/series?ids=7&range=all&live=0',
  '#/anomalies?show=open',
  '#/agents',
])('%s is read and written back', address => {
  expect(formatRoute(parseRoute(address))).toBe(address)
})

test.each([
  '',
  '#',
  '#/nowhere',
  '#/series?ids=x,-1,0,1.5,99999999999',
  '#/?range=2h&from=5&to=1',
  '#/series?anomaly=<b>',
])('%s falls back to what can be shown', address => {
  const { ids, range, span, anomaly } = parseRoute(address)
  expect({ ids, range, span, anomaly }).toEqual({ ids: [], range: '24h', span: null, anomaly: null })
})

test('a chart holds each series once and at most eight', () => {
  expect(parseRoute('#/series?ids=3,3,2').ids).toEqual([3, 2])
  expect(parseRoute('#/series?ids=1,2,3,4,5,6,7,8,9').ids).toHaveLength(maxCharted)
})

test('a range ends now, a span stands still, and all begins with the first reading', () => {
  const now = 1_700_000_000_000
  expect(spanOf({ ...home, range: '1h' }, now, 0)).toEqual({ fromMs: now - 3_600_000, toMs: now })
  expect(spanOf({ ...home, span: { fromMs: 1, toMs: 2 } }, now, 0)).toEqual({ fromMs: 1, toMs: 2 })
  expect(spanOf({ ...home, range: 'all' }, now, 1_600_000_000_000)).toEqual({ fromMs: 1_600_000_000_000, toMs: now })
})
