import { describe, expect, it } from 'vitest'
import { parseAgentConfig } from './agent-config.ts'
import { bufferSlice } from './stage-configs.ts'

const parse = (yaml: string) => parseAgentConfig(`policies:\n${yaml}`, 'agent.yaml', {})

describe('policies', () => {
  it('are given to the buffer in order, with times in the units of the stage', () => {
    const config = parse(
      [
        '  - {match: {metric: "alarm*"}, class: alarm}',
        '  - match: {device: "press-*"}',
        '    mode: both',
        '    window: {size: 1m, hop: 20s, lateness: 3s, quantiles: true}',
        '    reduce: {kind: deadband, band: 0.5, heartbeat: 1m}',
      ].join('\n'),
    )
    const window = { sizeUs: 60e6, hopUs: 60e6, latenessUs: 5e6, idleMs: 60_000, quantiles: false }
    expect(bufferSlice(config).policies).toEqual([
      { device: '*', metric: 'alarm*', mode: 'raw', class: 'alarm', window, reduce: null },
      {
        device: 'press-*',
        metric: '*',
        mode: 'both',
        class: 'raw',
        window: { ...window, hopUs: 20e6, latenessUs: 3e6, quantiles: true },
        reduce: { kind: 'deadband', band: 0.5, heartbeatUs: 60e6 },
      },
    ])
  })

  it.each([
    ['{kind: percent, percent: 2}', { kind: 'percent-deadband', percent: 2 }],
    ['{kind: on-change, heartbeat: 1s}', { kind: 'report-on-change', heartbeatUs: 1e6 }],
    ['{kind: every-nth, n: 5}', { kind: 'every-nth', n: 5 }],
    ['{kind: min-interval, interval: 2s}', { kind: 'min-interval', intervalUs: 2e6 }],
  ])('reduce %s', (yaml, reduce) => {
    expect(bufferSlice(parse(`  - reduce: ${yaml}`)).policies?.[0]?.reduce).toEqual(reduce)
  })

  it.each([
    ['mode: agregate', /mode.*did you mean.*aggregate/],
    ['{reduce: {kind: deadband}}', /policies\[0\]\.reduce\.band.*must be given with kind deadband/],
    ['{reduce: {kind: every-nth, n: 2, band: 1}}', /policies\[0\]\.reduce\.band.*remove it/],
    ['{reduce: {kind: every-nth, n: 2, heartbeat: 1s}}', /policies\[0\]\.reduce\.heartbeat.*remove it/],
    ['{mode: ring, reduce: {kind: on-change}}', /policies\[0\]\.reduce.*use raw or both/],
    ['{window: {size: 1m, hop: 2m}}', /policies\[0\]\.window\.hop.*longer than size/],
    ['{window: {size: 1h, hop: 1s}}', /policies\[0\]\.window\.hop.*more than 60 windows/],
    ['{window: {size: 1s, lateness: 1h}}', /policies\[0\]\.window\.lateness.*1000 windows/],
    ['{window: {siez: 1m}}', /policies\[0\]\.window\.siez.*size/],
  ])('what cannot be followed is refused with its key: %s', (yaml, message) => {
    expect(() => parse(`  - ${yaml}`)).toThrow(message)
  })
})
