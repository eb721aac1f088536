/**
 * What a device's words look like. Three dialects of JSON, all with the time in µs and the device's counter:
 *
 *   metric  sensors/{device}/{metric}  {"value":7.5,"unit":"kW","ts":1700000000000000,"seq":12}     one message a reading
 *   device  sensors/{device}           {"ts":1700000000000000,"seq":12,"power":{"value":7.5,"unit":"kW"},"running":true}
 *   line    on a serial line           {"device":"machine-001", and the rest as for `device`}
 *
 * Numbers are written so that parsing gives the same bits back, −0 included.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Emission, Measurement, SensorValue } from '../signals/emission.ts'
import type { Message } from '../transports/transport.ts'

export const dialects = ['metric', 'device', 'line'] as const
export type Dialect = (typeof dialects)[number]

/** The messages of one emission, without their numbers. */
export function formatEmission(emission: Emission, dialect: Dialect): Omit<Message, 'id'>[] {
  switch (dialect) {
    case 'metric':
      return emission.readings.map(reading => ({
        ...message(emission, [reading], metricPayload(emission, reading)),
        topic: `sensors/${emission.device}/${reading.metric}`,
      }))
    case 'device':
      return [
        { ...message(emission, emission.readings, devicePayload(emission, '')), topic: `sensors/${emission.device}` },
      ]
    case 'line':
      return [
        message(emission, emission.readings, devicePayload(emission, `"device":${JSON.stringify(emission.device)},`)),
      ]
    default:
      return dialect satisfies never
  }
}

/** Throws `config` when the name cannot stand in a topic or has a meaning of its own in an object of metrics. */
export function checkName(name: string, what: 'device' | 'metric'): void {
  const reserved = what === 'metric' && ['ts', 'seq', 'quality', 'device'].includes(name)
  if (name === '' || /[/+#\0]/.test(name) || reserved)
    throw new TributaryError('config', `"${name}" cannot be the name of a ${what}`, {
      hint: 'A name has no /, + or #; a metric is not called ts, seq, quality or device.',
    })
}

function message(emission: Emission, readings: readonly Measurement[], payload: string): Omit<Message, 'id'> {
  const { device, tsUs, garbage } = emission
  return {
    device,
    topic: '',
    payload: garbage ?? Buffer.from(payload),
    readings: garbage ? [] : readings.map(({ metric, value }) => ({ device, metric, tsUs, value })),
  }
}

function metricPayload({ tsUs, seq }: Emission, { value, unit }: Measurement): string {
  return `{"value":${formatValue(value)}${formatUnit(unit)},"ts":${tsUs},"seq":${seq}}`
}

function devicePayload({ tsUs, seq, readings }: Emission, head: string): string {
  const metrics = readings.map(({ metric, unit, value }) => {
    const text = unit === '' ? formatValue(value) : `{"value":${formatValue(value)}${formatUnit(unit)}}`
    return `,${JSON.stringify(metric)}:${text}`
  })
  return `{${head}"ts":${tsUs},"seq":${seq}${metrics.join('')}}`
}

function formatUnit(unit: string): string {
  return unit === '' ? '' : `,"unit":${JSON.stringify(unit)}`
}

function formatValue(value: SensorValue): string {
  return Object.is(value, -0) ? '-0' : String(value)
}
