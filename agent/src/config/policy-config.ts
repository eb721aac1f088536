/** How a file says what is done with which readings; `policySlice` gives it in the words of the stage. */
import {
  boolean,
  type ConfigValue,
  duration,
  integer,
  number,
  object,
  oneOf,
  string,
} from '@tributary/shared/config-schema'
import type { ReducePolicy } from '@tributary/shared/reduce/policy'
import type { Policy } from '../aggregate/policy.ts'
import { maxOverlap } from '../aggregate/policy.ts'

const hourMs = 3600_000
const dayMs = 24 * hourMs

const pattern = (what: string, example: string) =>
  string({
    help: `Pattern of the ${what}: * stands for any run of characters, ? for one.`,
    default: '*',
    minLength: 1,
    maxLength: 256,
    example,
  })

/** Windows of a series that may be open. */
const maxLateWindows = 1000

const reduceKeys = ['band', 'percent', 'n', 'interval'] as const
/** What a way to reduce needs; the other keys mean nothing with it. */
const keyOfKind = {
  deadband: 'band',
  percent: 'percent',
  'on-change': null,
  'every-nth': 'n',
  'min-interval': 'interval',
} as const

const reduce = object(
  {
    kind: oneOf(['deadband', 'percent', 'on-change', 'every-nth', 'min-interval'], {
      help: 'Left out is: a number within `band` (or `percent` of the magnitude) of the last one kept; what equals the last one kept; all but one of `n`; what comes less than `interval` after the last one kept.',
      example: 'deadband',
    }),
    band: number({ help: 'Of a deadband, in the unit of the metric.', default: null, min: 0, example: 0.5 }),
    percent: number({ help: 'Of percent.', default: null, min: 0, max: 1000, example: 1 }),
    n: integer({ help: 'Of every-nth.', unit: 'readings', default: null, min: 1, max: 1_000_000, example: 10 }),
    interval: duration({
      help: 'Of min-interval, by the times of the readings.',
      default: null,
      min: 1,
      max: dayMs,
      example: 1000,
    }),
    heartbeat: duration({
      help: 'A reading is kept after this time in any case; with deadband, percent and on-change.',
      default: null,
      min: 1,
      max: 30 * dayMs,
      example: 60_000,
    }),
  },
  {
    help: 'What is left out of the readings that are sent: acknowledged and counted, and not stored. With modes raw and both.',
    optional: true,
    check(value, problem) {
      const needed = keyOfKind[value.kind]
      if (needed !== null && value[needed] === null) problem(needed, `must be given with kind ${value.kind}`)
      for (const key of reduceKeys) {
        if (key !== needed && value[key] !== null) problem(key, `means nothing with kind ${value.kind}; remove it`)
      }
      const sampled = value.kind === 'every-nth' || value.kind === 'min-interval'
      if (sampled && value.heartbeat !== null) problem('heartbeat', `means nothing with kind ${value.kind}; remove it`)
    },
  },
)

const window = object(
  {
    size: duration({
      help: 'Length of a window, by the times of the readings.',
      default: 60_000,
      min: 100,
      max: 7 * dayMs,
    }),
    hop: duration({
      help: 'A window begins every so often. Without it, where the one before it ends.',
      default: null,
      min: 100,
      max: 7 * dayMs,
      example: 60_000,
    }),
    lateness: duration({
      help: "How far a reading may lie behind its series' newest and still be on time. Later ones follow as a further part of their window.",
      default: 5000,
      min: 0,
      max: dayMs,
    }),
    idle: duration({
      help: 'A series silent for so long lives on by the clock of the gateway, so that its last window goes out; late readings are gathered for so long.',
      default: 60_000,
      min: 100,
      max: dayMs,
    }),
    quantiles: boolean({
      help: 'With a sketch for quantiles (relative error 1/129), some 50 % larger.',
      default: false,
    }),
  },
  {
    help: 'Of modes aggregate, ring and both.',
    check({ size, hop, lateness }, problem) {
      if (lateness > maxLateWindows * (hop ?? size)) problem('lateness', `is longer than ${maxLateWindows} windows`)
      if (hop === null) return
      if (hop > size) problem('hop', 'is longer than size: readings between the windows would be in none')
      else if (Math.ceil(size / hop) > maxOverlap) problem('hop', `puts a reading into more than ${maxOverlap} windows`)
    },
  },
)

export const policy = object(
  {
    match: object(
      { device: pattern('device', 'press-*'), metric: pattern('metric', 'vibration*') },
      { help: 'Which series it is for.' },
    ),
    mode: oneOf(['raw', 'aggregate', 'both', 'ring'], {
      help: 'raw: sent as they are. aggregate: folded into windows, which are sent instead. both: sent and folded. ring: folded, and kept on the gateway as long as buffer.max_bytes allows, for the hub to recall.',
      default: 'raw',
    }),
    class: oneOf(['raw', 'alarm'], {
      help: 'Alarms are the last to be given up when the buffer is full.',
      default: 'raw',
    }),
    window,
    reduce,
  },
  {
    help: 'A way to treat readings.',
    check(value, problem) {
      if (value.reduce !== null && (value.mode === 'aggregate' || value.mode === 'ring')) {
        problem(
          'reduce',
          `leaves out nothing with mode ${value.mode}, which sends no readings; use raw or both, or remove it`,
        )
      }
    },
  },
)

type PolicyConfig = ConfigValue<typeof policy>

export function policySlice({ match, mode, class: className, window: given, reduce: left }: PolicyConfig): Policy {
  return {
    device: match.device,
    metric: match.metric,
    mode,
    class: className,
    window: {
      sizeUs: given.size * 1000,
      hopUs: (given.hop ?? given.size) * 1000,
      latenessUs: given.lateness * 1000,
      idleMs: given.idle,
      quantiles: given.quantiles,
    },
    reduce: left && reduceSlice(left),
  }
}

function reduceSlice(given: NonNullable<PolicyConfig['reduce']>): ReducePolicy {
  const { band, percent, n, interval, heartbeat } = given
  const beat = heartbeat === null ? {} : { heartbeatUs: heartbeat * 1000 }
  switch (given.kind) {
    case 'deadband':
      return { kind: 'deadband', band: band ?? 0, ...beat }
    case 'percent':
      return { kind: 'percent-deadband', percent: percent ?? 0, ...beat }
    case 'on-change':
      return { kind: 'report-on-change', ...beat }
    case 'every-nth':
      return { kind: 'every-nth', n: n ?? 1 }
    case 'min-interval':
      return { kind: 'min-interval', intervalUs: (interval ?? 1) * 1000 }
    default:
      return given.kind satisfies never
  }
}
